"""Checks the named keys: whether they are used, end soon, are shared, or open more than they should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

import msgspec
from msgspec import Struct

from ... import settings
from ...access.keyring import NamedKey
from ...config import Config
from ...errors import ConfigError
from ...observe.clock import iso_timestamp
from ...schema.common import Message
from ...settings import destinations
from ...storage.database import FILE_NAME
from ...storage.keys import SavedKey, read_saved
from ...storage.state_folder import state_directory
from ..failures import EX_NOPERM, RequestFailed
from ..gateway_client import gateway_client
from ..urls import own_url
from .findings import Finding, Level
from .listening import SECONDS, is_own_address

_CHECK = "keys"
DAY = 86_400
UNUSED_DAYS = 7
ENDING_DAYS = 14
# More addresses than one person's devices have.
SHARED_ADDRESSES = 5
MAX_NAMES = 10
_REFUSED = "The running gateway requires a key with the scope admin."
_SEND_A_KEY = "Set GATEWAY_API_KEY to such a key for this command."


class KnownKey(Message, frozen=True):
    """What the checks need of a key, in the JSON of `GET /admin/keys`."""

    name: str
    scopes: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    created_at: str | None = None
    last_used_at: str | None = None
    expires_at: str | None = None
    recent_addresses: int = 0


class _Listing(Struct, frozen=True):
    keys: tuple[KnownKey, ...]


class KeyFacts(Struct, frozen=True):
    """The named keys. They are None if they are unknown, for this reason; `exist` may be known then too."""

    keys: tuple[KnownKey, ...] | None
    exist: bool
    reason: str = ""
    remedy: str = ""


async def read(loaded: settings.Loaded, *, runs: bool = True) -> KeyFacts:
    """Ask the running gateway for its keys; without one, or if it refuses, read the database.

    `runs` is False if the gateway on the port isn't the configured one.
    """
    refusal: RequestFailed | None = None
    if runs and destinations.why_not_to_gateway(loaded) is None:
        try:
            keys = await _of_gateway(loaded.config)
        except RequestFailed as exc:
            refusal = exc
        else:
            if keys is not None:
                return KeyFacts(keys, bool(keys))
    saved = _of_database(state_directory(loaded.config.server.state_dir) / FILE_NAME)
    if refusal is None:
        return saved
    if saved.keys:
        return saved
    if refusal.exit_status != EX_NOPERM:
        return KeyFacts(None, exist=False, reason=str(refusal))
    # Without auth.api_key, only named keys can have made it refuse.
    return KeyFacts(None, not loaded.config.auth.api_key, _REFUSED, _SEND_A_KEY)


async def _of_gateway(config: Config) -> tuple[KnownKey, ...] | None:
    """Return None if no gateway runs at the configured address. Raises RequestFailed if it refuses."""
    if config.server.port == 0 or not is_own_address(config.server.host):
        return None
    url, certificate = own_url(config), config.server.tls_cert
    try:
        async with asyncio.timeout(SECONDS):
            try:
                # Without the key, which another program at this address mustn't get.
                async with gateway_client(url, "", certificate) as gateway:
                    if (await gateway.request("GET", "/")).get("name") != "lmgateway":
                        return None
            except RequestFailed:
                return None
            async with gateway_client(url, config.auth.api_key, certificate) as gateway:
                return msgspec.convert(await gateway.request("GET", "/admin/keys"), _Listing).keys
    except (TimeoutError, msgspec.ValidationError):
        return None


def _of_database(path: Path) -> KeyFacts:
    try:
        rows = read_saved(path)
    except ConfigError as exc:  # of a newer version
        return KeyFacts(None, exist=False, reason=str(exc))
    if rows is None:
        return KeyFacts(None, exist=True, reason=f"{path} is damaged or can't be read.")
    return KeyFacts(tuple(map(_known, rows)), bool(rows))


def _known(row: SavedKey) -> KnownKey:
    try:
        key = msgspec.json.decode(row.key, type=NamedKey)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # refused by the gateway, whose log says so
        return KnownKey(row.name)
    return KnownKey(
        row.name,
        key.settings.scopes,
        key.settings.addresses,
        iso_timestamp(key.created),
        None if row.used is None else iso_timestamp(row.used),
        key.settings.expires_at,
    )


def examine(facts: KeyFacts, now: float) -> Iterator[Finding]:
    """Judge the keys. `now` is Unix time."""
    if facts.keys is None:
        yield Finding.note(_CHECK, f"The named keys can't be checked. {facts.reason}", facts.remedy)
        return
    count = len(facts.keys)
    yield Finding.ok(_CHECK, f"Named keys: {count:,}." if count else "There are no named keys.")
    for level, message, remedy, applies in _CHECKS:
        names = sorted(key.name for key in facts.keys if applies(key, now))
        if names:
            yield Finding(_CHECK, level, f"{message}: {_listed(names)}.", remedy)


def _has_expired(key: KnownKey, now: float) -> bool:
    return key.expires_at is not None and _unix(key.expires_at) <= now


def _ends_soon(key: KnownKey, now: float) -> bool:
    return not _has_expired(key, now) and _has_expired(key, now + ENDING_DAYS * DAY)


def _is_unused(key: KnownKey, now: float) -> bool:
    if key.created_at is None or key.last_used_at is not None or _has_expired(key, now):
        return False
    return now - _unix(key.created_at) > UNUSED_DAYS * DAY


def _is_shared(key: KnownKey, _now: float) -> bool:
    # A key with `addresses` is for all clients there.
    return not key.addresses and key.recent_addresses >= SHARED_ADDRESSES


def _is_for_everybody(key: KnownKey, _now: float) -> bool:
    return any(ip_network(entry, strict=False).prefixlen == 0 for entry in key.addresses)


def _opens_all_without_a_key(key: KnownKey, _now: float) -> bool:
    return bool(key.addresses) and "admin" in key.scopes


def _runs_programs(key: KnownKey, _now: float) -> bool:
    return "tools" in key.scopes


_RENEW = "lmgateway keys set NAME --expires 90d"
_CHECKS: tuple[tuple[Level, str, str, Callable[[KnownKey, float], bool]], ...] = (
    (
        "warning",
        "Clients at the addresses of these keys have all rights without a key",
        'lmgateway keys set NAME --scope ""\nOr: lmgateway keys set NAME --address ""',
        _opens_all_without_a_key,
    ),
    (
        "warning",
        "The addresses of these keys admit every client without a key",
        "Name the app's own address: lmgateway keys set NAME --address ADDRESS",
        _is_for_everybody,
    ),
    (
        "warning",
        f"Used from {SHARED_ADDRESSES} or more addresses in the last 24 hours",
        "Make a key for each person and app. If this one was stolen: lmgateway keys rotate NAME",
        _is_shared,
    ),
    ("note", "Expired, so they are refused", f"lmgateway keys revoke NAME\nOr: {_RENEW}", _has_expired),
    ("note", f"Expiring within {ENDING_DAYS} days", _RENEW, _ends_soon),
    (
        "note",
        f"Made more than {UNUSED_DAYS} days ago, and never used",
        "If they aren't needed: lmgateway keys revoke NAME",
        _is_unused,
    ),
    ("note", "With the scope tools, which runs programs on LM Studio's machine", "", _runs_programs),
)


def _listed(names: Sequence[str]) -> str:
    more = [f"and {len(names) - MAX_NAMES:,} more"] if len(names) > MAX_NAMES else []
    return ", ".join([*names[:MAX_NAMES], *more])


def _unix(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
