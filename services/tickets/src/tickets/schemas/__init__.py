"""What goes over HTTP, a module for each noun."""
