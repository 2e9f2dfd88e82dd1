"""Checks a key's settings beyond their types, and brings them into one form."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct, structs

from ..errors import Mistake, ValidationFailed
from ..networks import Network, parse_network
from ..observe.clock import iso_timestamp, parse_time
from ..schema.keys import KeySettings
from .globs import Globs

# The callers without a named key, and the path of the caller's own key.
RESERVED_NAMES = frozenset({"owner", "anyone", "self"})
# A user's name is shown to whoever may observe the gateway.
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie"})

KeyOf = Callable[[str], str]
"""Returns the key of the model that a name refers to; the name itself if that is unknown."""


class CheckedSettings(Struct, frozen=True):
    """Settings without mistakes; `expires` is a Unix time."""

    settings: KeySettings
    expires: float | None


def check_name(name: str) -> Iterator[Mistake]:
    """Yield the mistake in a new key's name, if there is one beyond its form."""
    if name in RESERVED_NAMES:
        yield Mistake(path="name", message=f"Expected another name: {name} has a meaning of its own")


def check_settings(
    settings: KeySettings, now: float, key_of: KeyOf = str, *, before: KeySettings | None = None
) -> CheckedSettings:
    """Return the settings without repeated entries; `before` are those that are changed to them.

    Raises ValidationFailed with all mistakes.
    """
    details = list(_mistakes(settings, now, key_of, before))
    if details:
        raise ValidationFailed("Validation failed", details=details)
    # As it is shown, so that a key that is sent back as it was read is unchanged. As a binary fraction, a
    # millisecond may be a little less than a whole one, and must not become the one before.
    shown = None if settings.expires_at is None else iso_timestamp(parse_time(settings.expires_at) + 1e-4)
    once = structs.replace(
        settings,
        scopes=tuple(dict.fromkeys(settings.scopes)),
        models=tuple(dict.fromkeys(settings.models)),
        addresses=_without_repeated(settings.addresses),
        expires_at=shown,
    )
    return CheckedSettings(once, None if shown is None else parse_time(shown))


def _mistakes(
    settings: KeySettings, now: float, key_of: KeyOf, before: KeySettings | None
) -> Iterator[Mistake]:
    for index, entry in enumerate(settings.addresses):
        try:
            parse_network(entry)
        except ValueError:
            yield Mistake(path=f"addresses[{index}]", message="Expected an address or a CIDR network")
    for index, glob in enumerate(settings.models):
        if not glob.isprintable() or glob != glob.strip():
            yield Mistake(path=f"models[{index}]", message="Expected a glob without outer spaces")
    if settings.model is not None and not Globs(settings.models).allow(key_of(settings.model)):
        yield Mistake(path="model", message="The key's default model isn't one of its `models`")
    if (settings.user_header or "").lower() in _SECRET_HEADERS:
        yield Mistake(path="userHeader", message="Expected a header field that holds no secret")
    # A key that has expired can be changed, and stays expired.
    if settings.expires_at is not None and (before is None or settings.expires_at != before.expires_at):
        try:
            if parse_time(settings.expires_at) <= now:
                yield Mistake(path="expiresAt", message="Expected a time in the future")
        except ValueError:
            yield Mistake(path="expiresAt", message="Expected a date such as 2027-01-31, or ISO 8601")


def _without_repeated(addresses: tuple[str, ...]) -> tuple[str, ...]:
    first: dict[Network, str] = {}
    for entry in addresses:
        first.setdefault(parse_network(entry), entry)
    return tuple(first.values())
