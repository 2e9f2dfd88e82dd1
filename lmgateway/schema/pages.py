"""The JSON of the pages' own operations."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .common import Message, RequestBody, about


class DashboardAccess(Message, frozen=True, kw_only=True):
    """`key_needed` is true if the API requires a key."""

    key_needed: bool


class QrRequest(RequestBody, frozen=True, kw_only=True):
    """What a QR code is to hold."""

    # Larger codes take tens of milliseconds to make, and a phone's camera can't read them off a screen.
    text: Annotated[
        str,
        about("Printable ASCII characters, at most 500. A URL has other characters percent-encoded."),
        Meta(min_length=1, max_length=500, pattern=r"^[ -~]+\Z"),
    ]
