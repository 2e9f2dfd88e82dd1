"""Who runs next: pure decisions, with the clock handed in."""
