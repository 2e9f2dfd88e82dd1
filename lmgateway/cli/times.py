"""Times that options name: dates, and spans from now."""

from __future__ import annotations

from ..observe.clock import parse_time
from .failures import EX_DATAERR, RequestFailed


def checked(option: str, text: str) -> str:
    """Return the text if it is a date or an ISO 8601 time. Raises RequestFailed with the forms there are."""
    try:
        parse_time(text)
    except ValueError as exc:
        forms = "30d or 12h for a span, 2026-01-31 for a date, or 2026-01-31T12:00Z for a time"
        raise RequestFailed(f"{option} {text}: write {forms}.", EX_DATAERR) from exc
    return text
