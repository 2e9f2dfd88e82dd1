"""LM Studio's server log, as events."""
