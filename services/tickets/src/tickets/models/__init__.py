"""Tables of the tickets service, a module for each noun."""
