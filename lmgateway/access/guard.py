"""The rules of who gets in. Pure: it is asked, and raises the refusal."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import BadRequest, Forbidden, Misdirected, Unauthorized
from ..networks import Address, forwarded_client

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_HOW_TO_OPEN = (
    "Only this machine is served, because neither a key nor an allowlist is set. Set GATEWAY_API_KEY "
    "(auth.api_key) to let in whoever sends that key, or IP_ALLOWLIST (network.ip_allowlist) to list who may."
)
_HOW_TO_SEND = (
    "Unauthorized: send the gateway's key as 'Authorization: Bearer <key>' or as 'X-API-Key: <key>'."
)
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+(%[\w.~-]+)?\]|[A-Za-z0-9._-]+)(:[0-9]*)?\Z", re.ASCII)
_SIGNS_OF_A_PROXY = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class KeyRing:
    """The keys that open the gateway."""

    def __init__(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self._digests = [_digest(key) for key in keys]
        self._patterns = [(key, re.compile(rf"(?<![\w-]){re.escape(key)}(?![\w-])")) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def holds(self, key: str) -> bool:
        """Tell whether this is one of the keys, in the same time for any key of its length."""
        digest = _digest(key)
        # All are compared, whichever fits.
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0

    def opened_by(self, authorization: str) -> bool:
        """Tell whether an Authorization field opens the gateway: the scheme Bearer, and one of the keys."""
        scheme, _, key = authorization.partition(" ")
        # Schemes have no case (RFC 9110 section 11.1).
        return scheme.lower() == "bearer" and self.holds(key.strip(" "))

    def occurs_in(self, text: str) -> bool:
        """Tell whether one of the keys stands anywhere in it, by itself or set off from the rest."""
        return any(key in text and pattern.search(text) for key, pattern in self._patterns)

    def redact(self, text: str) -> str:
        """Return the text without the keys that somebody put there."""
        for key, pattern in self._patterns:
            if key in text:
                text = pattern.sub("********", text)
        return text


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


class Guard:
    """Everything that the configuration says about who gets in."""

    def __init__(self, config: Config) -> None:
        self.keys = KeyRing([config.auth.api_key] if config.auth.api_key else [])
        self.health_is_open = not config.auth.require_for_health
        self._protected = config.protected
        self._allowlist = config.network.ip_allowlist
        self._trusted = config.network.trusted_proxies
        self._names = {name.lower().rstrip(".") for name in config.server.names}

    def admit_address(self, peer: Address, headers: CIMultiDictProxy[str]) -> Address:
        """Return the client's address. Raises Forbidden if it may not come in."""
        forwarded = forwarded_client(peer, headers.getall("X-Forwarded-For", ()), self._trusted)
        client = peer if forwarded is None else forwarded
        # A proxy on this machine that nobody told us of would make everybody a client on this machine.
        hidden = forwarded is None and any(name in headers for name in _SIGNS_OF_A_PROXY)
        if self._protected and (hidden or not client.is_loopback):
            raise Forbidden(f"Forbidden: {_HOW_TO_OPEN}", details=_HOW_TO_OPEN)
        if self._allowlist is not None and client not in self._allowlist:
            raise Forbidden("Forbidden: this address is not on the gateway's allowlist.")
        return client

    def admit_key(self, headers: CIMultiDictProxy[str]) -> None:
        """Raise Unauthorized unless the request carries a key of ours, or none is needed.

        X-API-Key decides where it is present: an Authorization beside it is the client's own, for LM Studio.
        """
        if not self.keys:
            return
        api_keys, authorizations = (set(headers.getall(name, ())) for name in ("X-API-Key", "Authorization"))
        # Of two different values a proxy in front may have judged the other one.
        if len(api_keys) > 1 or len(authorizations) > 1:
            raise Unauthorized(
                "Unauthorized: the key header came twice with different values.", headers=_CHALLENGE
            )
        if api_keys:
            admitted = self.keys.holds(api_keys.pop())
        else:
            admitted = bool(authorizations) and self.keys.opened_by(authorizations.pop())
        if not admitted:
            raise Unauthorized(_HOW_TO_SEND, headers=_CHALLENGE)

    def admit_host(self, host: str) -> None:
        """Raise BadRequest for no host name at all, Misdirected for one that may have been pointed here.

        Only without a key: a page can make a browser ask, under the page's own name, any address of the LAN
        (DNS rebinding), but it can't make it send a key it doesn't have.
        """
        found = _HOST.match(host)
        if found is None or (host.startswith("[") and not _is_address(found["name"].strip("[]"))):
            raise BadRequest("The Host header is malformed.")
        name = found["name"].strip("[]").lower().rstrip(".")
        if self.keys or _is_local(name) or name in self._names:
            return
        raise Misdirected(
            "This host name isn't the gateway's. Use the address, set a key, or add it to server.names."
        )


def _is_local(name: str) -> bool:
    if ("." not in name and ":" not in name) or name.endswith(".local"):
        return bool(name)
    return _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
