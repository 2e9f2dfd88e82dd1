"""State that is kept across restarts."""
