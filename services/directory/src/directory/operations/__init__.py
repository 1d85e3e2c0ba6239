"""What one can do with the directory: one function per use case."""
