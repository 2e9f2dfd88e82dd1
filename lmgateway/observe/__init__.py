"""Observability: exchanges, records, events, metrics, reports and the log."""
