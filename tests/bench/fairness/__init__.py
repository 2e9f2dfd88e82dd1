"""Whom the machine's seconds go to, measured with the real gateway in front of the simulated LM Studio."""
