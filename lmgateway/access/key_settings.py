"""Checks a key's settings beyond their types, and brings them into one form."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct, structs

from ..errors import Mistake, ValidationFailed
from ..networks import parse_network
from ..observe.clock import iso_timestamp, parse_time
from ..schema.keys import KeySettings
from .globs import Globs

KeyOf = Callable[[str], str]
"""Returns the key of the model that a name refers to; the name itself if that is unknown."""


class CheckedSettings(Struct, frozen=True):
    """Settings without mistakes; `expires` is a Unix time."""

    settings: KeySettings
    expires: float | None


def check_settings(settings: KeySettings, now: float, key_of: KeyOf = str) -> CheckedSettings:
    """Return the settings without repeated entries. Raises ValidationFailed with all mistakes."""
    details = list(_mistakes(settings, now, key_of))
    if details:
        raise ValidationFailed("Validation failed", details=details)
    expires = None if settings.expires_at is None else parse_time(settings.expires_at)
    once = structs.replace(
        settings,
        scopes=tuple(dict.fromkeys(settings.scopes)),
        models=tuple(dict.fromkeys(settings.models)),
        addresses=_without_repeated(settings.addresses),
        expires_at=None if expires is None else iso_timestamp(expires),
    )
    return CheckedSettings(once, expires)


def _mistakes(settings: KeySettings, now: float, key_of: KeyOf) -> Iterator[Mistake]:
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
    if settings.expires_at is not None:
        try:
            if parse_time(settings.expires_at) <= now:
                yield Mistake(path="expiresAt", message="Expected a time in the future")
        except ValueError:
            yield Mistake(path="expiresAt", message="Expected a date such as 2027-01-31, or ISO 8601")


def _without_repeated(addresses: tuple[str, ...]) -> tuple[str, ...]:
    return tuple({parse_network(entry): entry for entry in addresses}.values())
