"""The named keys at one moment, and which changes of them are allowed. Nothing here does I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType

from msgspec import Struct, structs

from ..errors import Conflict, KeyNotFound
from ..networks import Address, Network, parse_network
from ..schema.keys import KeySettings
from ..text import clean_name
from .secrets import Secret

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

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The secrets, of which the previous one may have ended."""
        return (self.secret,) if self.previous is None else (self.secret, self.previous)

    @property
    def networks(self) -> set[Network]:
        return set(map(parse_network, self.settings.addresses))

    def is_valid(self, now: float) -> bool:
        return self.expires is None or now < self.expires

    def manages_keys(self, now: float) -> bool:
        return "admin" in self.settings.scopes and self.is_valid(now)


class Keyring(Struct, frozen=True, kw_only=True, dict=True):
    """All named keys by name, their secrets by id, and the name of the key that has a network.

    `is_readable` is false if there may be keys that can't be read: then only the owner is admitted.
    `has_unreadable` is true if some keys can't be decoded: they are refused, and count as configured.
    """

    keys: Mapping[str, NamedKey] = MappingProxyType({})
    secrets: Mapping[str, tuple[NamedKey, Secret]] = MappingProxyType({})
    networks: Mapping[Network, str] = MappingProxyType({})
    is_readable: bool = True
    has_unreadable: bool = False

    @staticmethod
    def of(keys: Iterable[NamedKey], *, is_readable: bool = True, has_unreadable: bool = False) -> Keyring:
        by_name = {key.name: key for key in keys}
        return Keyring(
            keys=by_name,
            secrets={secret.id: (key, secret) for key in by_name.values() for secret in key.secrets},
            networks={network: name for name, key in by_name.items() for network in key.networks},
            is_readable=is_readable,
            has_unreadable=has_unreadable,
        )

    @property
    def is_configured(self) -> bool:
        """True if the gateway needs a key, expired or not."""
        return bool(self.keys) or self.has_unreadable or not self.is_readable

    def replacing(self, name: str, key: NamedKey | None) -> Keyring:
        """Return the ring with this key in place of the one of its name; without it if `key` is None.

        Copying the mappings takes 0.5 ms for 5,000 keys; building them anew would take 40 ms.
        """
        keys, secrets, networks = {**self.keys}, {**self.secrets}, {**self.networks}
        if (before := keys.pop(name, None)) is not None:
            for secret in before.secrets:
                secrets.pop(secret.id, None)
            for network in before.networks:
                if networks.get(network) == name:
                    del networks[network]
        if key is not None:
            keys[name] = key
            secrets.update((secret.id, (key, secret)) for secret in key.secrets)
            networks.update((network, name) for network in key.networks)
        return structs.replace(
            self,
            keys=keys,
            secrets=secrets,
            networks=networks,
            is_readable=self.is_readable or key is not None,
        )

    def get(self, name: str) -> NamedKey:
        """Raises KeyNotFound."""
        if name not in self.keys:
            raise KeyNotFound(f"There is no key {clean_name(name)}. `lmgateway keys list` shows all.")
        return self.keys[name]

    def holder(self, name: str, secret_id: str | None, now: float) -> NamedKey | None:
        """Return the valid key of this name, if the secret that was sent is valid too.

        `secret_id` is None for a caller who was recognised by the address.
        """
        key = self.keys.get(name)
        if key is None or not key.is_valid(now):
            return None
        if secret_id is None or any(one.id == secret_id and one.is_valid(now) for one in key.secrets):
            return key
        return None

    def at_address(self, address: Address, now: float) -> NamedKey | None:
        """Return the valid key whose `addresses` have the narrowest network with this address."""
        for host_bits in self._host_bits[address.version]:
            name = self.networks.get(Network(address.version, host_bits, int(address) >> host_bits))
            if name is not None and (key := self.keys[name]).is_valid(now):
                return key
        return None

    @cached_property
    def _host_bits(self) -> Mapping[int, list[int]]:
        """By version of IP, how many host bits the networks have; the narrowest first."""
        sizes = {(network.version, network.host_bits) for network in self.networks}
        return {wanted: sorted(bits for version, bits in sizes if version == wanted) for wanted in (4, 6)}

    @cached_property
    def _ends(self) -> list[float]:
        return sorted(
            end
            for key in self.keys.values()
            for end in (key.expires, None if key.previous is None else key.previous.until)
            if end is not None
        )

    def ends_after(self, now: float) -> float | None:
        """Return the next time at which a key or a secret ends, None if none does."""
        following = bisect_right(self._ends, now)
        return self._ends[following] if following < len(self._ends) else None


NO_KEYS = Keyring()


def check_new(ring: Keyring, key: NamedKey, *, has_owner: bool) -> None:
    """Raise Conflict if this key can't be made."""
    if key.name in ring.keys:
        raise Conflict(f"There is a key {key.name} already. Change that one, or choose another name.")
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
    for entry, network in zip(
        key.settings.addresses, map(parse_network, key.settings.addresses), strict=True
    ):
        other = ring.networks.get(network, key.name)
        if other != key.name:
            raise Conflict(f"The key {other} has the address {entry} already.")


def _others(ring: Keyring, name: str) -> Iterable[NamedKey]:
    return (key for key in ring.keys.values() if key.name != name)


def refreshed(key: NamedKey, secret: Secret, *, now: float, grace_seconds: float) -> NamedKey:
    """Return the key with a new secret; the current one stays valid for so long."""
    previous = structs.replace(key.secret, until=now + grace_seconds) if grace_seconds else None
    return structs.replace(key, secret=secret, previous=previous)
