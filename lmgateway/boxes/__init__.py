"""LM Studio: one box, what is on it and in its memory, and how it is asked."""
