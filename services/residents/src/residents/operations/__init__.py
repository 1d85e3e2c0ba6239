"""What one can do with households and residents: one function per use case."""
