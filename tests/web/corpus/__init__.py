"""Recorded answers, which the gateway relays byte for byte."""
