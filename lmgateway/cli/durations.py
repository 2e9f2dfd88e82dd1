"""Durations as tables show them."""

from __future__ import annotations


def duration(milliseconds: int) -> str:
    """Return a duration as 59.9s or 1:02:03."""
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f}s"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
