"""Operators' work on events: dead letters, telling again what the broker lost, and proving that nothing is missing."""
