"""Persistent state: the SQLite database and its tables."""
