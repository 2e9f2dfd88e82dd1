"""What must last across restarts."""
