"""The named keys at one moment, and which changes of them are allowed. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType

from msgspec import Struct, structs

from ..errors import Conflict, KeyNotFound, Unauthorized
from ..networks import Address, parse_network
from ..schema.keys import KeySettings
from .secrets import Secret

_RESERVED = frozenset({"owner", "anyone", "self"})
_LAST_ADMIN = (
    "{} is the last key with the scope admin. Make another key with that scope first, or set auth.api_key."
)
_FIRST_KEY = (
    "The first key must have the scope admin, or nobody could make another one. Add the scope, or set "
    "auth.api_key first."
)


class NamedKey(Struct, frozen=True, kw_only=True):
    """A named key. `previous` is the secret before the last rotation; times are Unix seconds."""

    name: str
    settings: KeySettings
    secret: Secret
    previous: Secret | None = None
    created: float
    expires: float | None = None

    def is_valid(self, now: float) -> bool:
        return self.expires is None or now < self.expires

    def manages_keys(self, now: float) -> bool:
        return "admin" in self.settings.scopes and self.is_valid(now)


class Keyring(Struct, frozen=True, dict=True):
    """All named keys, by name.

    `is_readable` is false if there may be keys that can't be read: then only the owner is admitted.
    `has_unreadable` is true if some keys can't be decoded: they are refused, and count as configured.
    """

    keys: Mapping[str, NamedKey] = MappingProxyType({})
    is_readable: bool = True
    has_unreadable: bool = False

    @property
    def is_configured(self) -> bool:
        """True if the gateway needs a key, expired or not."""
        return bool(self.keys) or self.has_unreadable or not self.is_readable

    def replacing(self, name: str, key: NamedKey | None) -> Keyring:
        """Return the ring with this key in place of the one of its name; without it if `key` is None."""
        keys = {**self.keys}
        keys.pop(name, None)
        if key is not None:
            keys[name] = key
        return Keyring(keys, self.is_readable or key is not None, self.has_unreadable)

    def get(self, name: str) -> NamedKey:
        """Raises KeyNotFound."""
        if name not in self.keys:
            raise KeyNotFound(f"There is no key {name}. `lmgateway keys list` shows all.")
        return self.keys[name]

    @cached_property
    def secrets(self) -> Mapping[str, tuple[NamedKey, Secret]]:
        """Every secret, by its id, with its key."""
        return {
            secret.id: (key, secret)
            for key in self.keys.values()
            for secret in (key.secret, key.previous)
            if secret is not None
        }

    def at_address(self, address: Address, now: float) -> NamedKey | None:
        """Return the valid key whose `addresses` have the narrowest network with this address."""
        for host_bits, networks in self._networks[address.version]:
            key = networks.get(int(address) >> host_bits)
            if key is not None and key.is_valid(now):
                return key
        return None

    @cached_property
    def _networks(self) -> Mapping[int, list[tuple[int, dict[int, NamedKey]]]]:
        """By version of IP and number of host bits, the keys by network; the narrowest first."""
        found: dict[int, dict[int, dict[int, NamedKey]]] = {4: {}, 6: {}}
        for key in self.keys.values():
            for network in map(parse_network, key.settings.addresses):
                of_size = found[network.version].setdefault(network.host_bits, {})
                of_size[network.number] = key
        return {version: sorted(sizes.items()) for version, sizes in found.items()}

    def ends_after(self, now: float) -> float | None:
        """Return the next time at which a key or a secret ends, None if none does."""
        ends = [
            end
            for key in self.keys.values()
            for end in (key.expires, None if key.previous is None else key.previous.until)
            if end is not None and end > now
        ]
        return min(ends, default=None)


NO_KEYS = Keyring()


def check_new(ring: Keyring, key: NamedKey, *, has_owner: bool, is_anonymous: bool) -> None:
    """Raise Conflict if this key can't be made, Unauthorized if a key was made since the caller began."""
    if key.name in _RESERVED:
        raise Conflict(f"{key.name} can't be the name of a key: it has another meaning.")
    if key.name in ring.keys:
        raise Conflict(f"There is a key {key.name} already. Change that one, or choose another name.")
    if ring.is_configured and is_anonymous:
        raise Unauthorized("Unauthorized: a key was made meanwhile. Send it.")
    if not (ring.keys or has_owner):
        if "admin" not in key.settings.scopes:
            raise Conflict(_FIRST_KEY)
        if key.expires is not None:
            raise Conflict("The first key can't expire, unless auth.api_key is set.")
    _check_addresses(ring, key)


def check_change(ring: Keyring, key: NamedKey, now: float, *, has_owner: bool) -> None:
    """Raise Conflict if the key of this name can't be changed to this one."""
    before = ring.keys[key.name]
    ends_sooner = key.expires is not None and (before.expires is None or key.expires < before.expires)
    if ends_sooner or "admin" not in key.settings.scopes:
        check_leave(ring, key.name, now, has_owner=has_owner)
    _check_addresses(ring, key)


def check_leave(ring: Keyring, name: str, now: float, *, has_owner: bool) -> None:
    """Raise Conflict if this key is the last by which keys can be managed."""
    if has_owner or not ring.keys[name].manages_keys(now):
        return
    if not any(key.manages_keys(now) for key in _others(ring, name)):
        raise Conflict(_LAST_ADMIN.format(name))


def _check_addresses(ring: Keyring, key: NamedKey) -> None:
    own = {parse_network(entry) for entry in key.settings.addresses}
    for other in _others(ring, key.name):
        for entry in other.settings.addresses:
            if parse_network(entry) in own:
                raise Conflict(f"The key {other.name} has the address {entry} already.")


def _others(ring: Keyring, name: str) -> Iterable[NamedKey]:
    return (key for key in ring.keys.values() if key.name != name)


def refreshed(key: NamedKey, secret: Secret, *, now: float, grace_seconds: float) -> NamedKey:
    """Return the key with a new secret; the current one stays valid for so long."""
    previous = structs.replace(key.secret, until=now + grace_seconds) if grace_seconds else None
    return structs.replace(key, secret=secret, previous=previous)
