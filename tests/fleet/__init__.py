"""Several boxes: where requests go, and what happens when one goes down or sleeps."""
