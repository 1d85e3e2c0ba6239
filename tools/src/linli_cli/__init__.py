"""The command line of Linli (邻里)."""
