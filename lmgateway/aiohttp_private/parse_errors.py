"""What aiohttp raises for input that it can't parse."""

from __future__ import annotations

from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web import RequestPayloadError

__all__ = ["LineTooLong", "is_malformed", "is_too_long"]


def is_too_long(error: BaseException) -> bool:
    """True for a parse error about a line that is longer than the parser allows."""
    return isinstance(error, LineTooLong)


def is_malformed(error: BaseException | None) -> bool:
    """True for a parse error, in a head or in a body."""
    return isinstance(error, (HttpProcessingError, RequestPayloadError))
