"""Timestamps as they go over the wire."""

from __future__ import annotations

from datetime import UTC, datetime


def iso_timestamp(seconds: float | None = None) -> str:
    """Return this time (Unix seconds; now if None) in ISO 8601, UTC, with milliseconds and Z."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
