"""All that knows LM Studio: which models there are and which is active."""
