"""Which media types a client prefers: the Accept field. RFC 9110 section 12.5.1."""

from __future__ import annotations

import re
from collections.abc import Iterable

_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|\Z)", re.IGNORECASE)


def quality(media_type: str, accept: Iterable[str]) -> float:
    """Return how much these lines of Accept want a media type: from 0, not at all, to 1.

    The most specific range counts. A range with parameters other than `q` counts as one without.
    """
    ranges: dict[str, float] = {}
    for part in ",".join(accept).split(","):
        name = part.partition(";")[0].strip().lower()
        match = _QUALITY.search(part)
        ranges[name] = max(ranges.get(name, 0.0), min(float(match[1]), 1.0) if match else 1.0)
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if name in ranges:
            return ranges[name]
    # Without the field, anything is wanted.
    return 0.0 if any(ranges) else 1.0
