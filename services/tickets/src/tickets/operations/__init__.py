"""Use cases, a module for each noun: one function each, inside the caller's transaction."""
