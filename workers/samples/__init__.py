"""Data sets that every node has; see README.md beside this."""
