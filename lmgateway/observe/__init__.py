"""What is going on, and who is told."""
