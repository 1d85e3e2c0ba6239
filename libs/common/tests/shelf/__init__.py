"""The smallest service there can be, to try the chassis on: books on shelves."""
