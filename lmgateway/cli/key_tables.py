"""Keys as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

Row = tuple[str, ...]
Json = Mapping[str, Any]

_LIMITS = {
    "running": "{} at once",
    "requestsPerMinute": "{} requests/min",
    "tokensPerMinute": "{} tokens/min",
    "tokensPerDay": "{} tokens/day",
}
_USES = {
    "requestsPerMinute": "requests this minute",
    "tokensPerMinute": "tokens this minute",
    "tokensPerDay": "tokens today",
}
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def overview(keys: list[Json], now: float) -> list[Row]:
    """Return the table of all keys, with a head. `now` is Unix time."""
    head = ("", "NAME", "SCOPES", "MODELS", "LIMITS", "LAST USED", "EXPIRES")
    return [head, *(_row(key, now) for key in sorted(keys, key=lambda key: str(key["name"])))]


def _row(key: Json, now: float) -> Row:
    return (
        "expired" if _has_expired(key, now) else "",
        key["name"],
        ",".join(key["scopes"]),
        ",".join(key["models"]),
        _limits(key),
        _last_use(key, now),
        _end(key, now),
    )


def describe(key: Json, used: Json, left: Json, now: float) -> list[Row]:
    """Return the key's settings that are set, and its use if it is known, as rows of name and value."""
    rows = [*_settings(key, now), *_uses(used, left)]
    return [row for row in rows if row[1]]


def _settings(key: Json, now: float) -> Iterator[Row]:
    yield "name", key["name"]
    yield "id", key.get("id", "")
    yield "scopes", ", ".join(key["scopes"])
    yield "models", ", ".join(key["models"])
    yield "addresses", ", ".join(key["addresses"])
    yield "limits", _limits(key)
    yield "share", f"{key['share']:g}"
    yield "class", key["class"]
    yield "default model", key.get("model", "")
    defaults = key.get("defaultInference", {}).items()
    yield "defaults", ", ".join(f"{name}={value}" for name, value in defaults if value is not None)
    yield "user header", key.get("userHeader", "")
    yield "note", key.get("note", "")
    yield "made", local_time(key["createdAt"]) if "createdAt" in key else ""
    # The owner, which has no such time, isn't a named key.
    yield "last used", _last_use(key, now) if "createdAt" in key else ""
    yield "addresses today", f"{key['recentAddresses']:,}" if key.get("recentAddresses") else ""
    yield "expires", _end(key, now) if "createdAt" in key else ""


def _uses(used: Json, left: Json) -> Iterator[Row]:
    for name, about in _USES.items():
        if name in used:
            yield about, f"{used[name]:,}" + (f", {left[name]:,} left" if name in left else "")


def _limits(key: Json) -> str:
    return ", ".join(
        about.format(f"{key['limits'][name]:,}")
        for name, about in _LIMITS.items()
        if key["limits"].get(name) is not None
    )


def _has_expired(key: Json, now: float) -> bool:
    return "expiresAt" in key and _unix(key["expiresAt"]) <= now


def _last_use(key: Json, now: float) -> str:
    return relative(key["lastUsedAt"], now) if "lastUsedAt" in key else "never"


def _end(key: Json, now: float) -> str:
    return (
        f"{local_time(key['expiresAt'])}, {relative(key['expiresAt'], now)}"
        if "expiresAt" in key
        else "never"
    )


def relative(timestamp: str, now: float) -> str:
    """Return `3 days ago` or `in 2 hours`, rounded."""
    seconds = _unix(timestamp) - now
    distance = span(abs(seconds))
    return f"in {distance}" if seconds > 0 else f"{distance} ago"


def span(seconds: float) -> str:
    """Return `3 days`, rounded."""
    for name, length in _UNITS:
        if seconds >= length:
            count = round(seconds / length)
            return f"{count:,} {name}{'' if count == 1 else 's'}"
    return "less than a minute"


def local_time(timestamp: str) -> str:
    """Return the time in this machine's zone."""
    return f"{datetime.fromisoformat(timestamp).astimezone():%Y-%m-%d %H:%M}"


def _unix(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
