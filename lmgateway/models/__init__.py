"""Which models are active."""
