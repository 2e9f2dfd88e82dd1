"""LM Studio over HTTP."""
