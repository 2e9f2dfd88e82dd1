"""Which client addresses and host names are allowed. Pure functions of the configuration and the request."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import BadRequest, Forbidden, Misdirected
from ..networks import Address, forwarded_client, parse_address

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

_HOW_TO_OPEN = (
    "Only this machine is served, because neither a key nor an allowlist is set. Set GATEWAY_API_KEY "
    "(auth.api_key) to serve clients that send it, or IP_ALLOWLIST (network.ip_allowlist) to serve addresses."
)
_UNKNOWN_CLIENT = (
    "The trusted proxy in front of the gateway (network.trusted_proxies) doesn't say which client this is. "
    "Its X-Forwarded-For must end in the client's address (nginx: proxy_set_header X-Forwarded-For "
    "$proxy_add_x_forwarded_for)."
)
_FIRST_KEY = (
    "Without a key, the first key can only be made on the gateway's machine, with a direct connection. Make "
    "it there (`lmgateway keys add NAME --scope admin`), or set auth.api_key and send that."
)
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+(%[\w.~-]+)?\]|[A-Za-z0-9._-]+)(:[0-9]*)?\Z", re.ASCII)
# Domains that can't be registered: RFC 6762, ICANN's resolution on .internal of 2024, and RFC 8375.
_LOCAL_DOMAINS = (".local", ".internal", ".home.arpa")
_SIGNS_OF_A_PROXY = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
# Of proxies that don't say whose request it is, or say it in a field of their own.
_FURTHER_SIGNS = ("Via", "X-Forwarded-Host", "X-Forwarded-Proto", "CF-Connecting-IP", "True-Client-IP")


class Guard:
    """The configured rules for addresses and host names."""

    def __init__(self, config: Config, *, needs_key: bool) -> None:
        self._needs_key = needs_key
        self._protected = not needs_key and config.network.ip_allowlist is None
        self._allowlist = config.network.ip_allowlist
        self._trusted = config.network.trusted_proxies
        self._names = {name.lower().rstrip(".") for name in config.server.names}

    def admit_address(self, peer: Address, headers: CIMultiDictProxy[str]) -> Address:
        """Return the client's address. Raises Forbidden if it isn't allowed, or hidden by a trusted proxy."""
        try:
            forwarded = forwarded_client(peer, headers.getall("X-Forwarded-For", ()), self._trusted)
        except ValueError as exc:
            raise _not_admitted(_UNKNOWN_CLIENT) from exc
        client = peer if forwarded is None else forwarded
        hidden = forwarded is None and any(name in headers for name in _SIGNS_OF_A_PROXY)
        # The proxy's own rights are not its clients'.
        if hidden and peer in self._trusted:
            raise _not_admitted(_UNKNOWN_CLIENT)
        # Behind a proxy on this machine that isn't a trusted one, every client seems to be on this machine.
        if self._protected and (hidden or not client.is_loopback):
            raise _not_admitted(
                f"{client}{' through a proxy' if hidden else ''} is not served. {_HOW_TO_OPEN}"
            )
        if self._allowlist is not None and client not in self._allowlist:
            raise _not_admitted(f"{client} is not on the gateway's allowlist (network.ip_allowlist).")
        return client

    def admit_first_key(self, peer: Address, headers: CIMultiDictProxy[str]) -> None:
        """Raise Forbidden unless the client is on this machine, and connects to the gateway directly.

        Anybody else could make the first key, and with it shut out everybody.
        """
        signs = (*_SIGNS_OF_A_PROXY, *_FURTHER_SIGNS)
        if not peer.is_loopback or any(name in headers for name in signs):
            raise _not_admitted(_FIRST_KEY)

    def admit_host(self, host: str) -> None:
        """Raise BadRequest for a malformed host name; without a key, also as `admit_local_host`."""
        name = name_in(host)
        if not self._needs_key:
            self.admit_local_host(name)

    def admit_local_host(self, name: str) -> None:
        """Raise Misdirected for a host name that may be another site's.

        Names are checked only for requests without a key. By DNS rebinding, a page can make a browser send
        requests under the page's name to an address of the LAN, but it can't add a key that it doesn't have.
        """
        if self._protected:
            if not _is_loopback(name):
                raise Misdirected(f"{_HOW_TO_OPEN} Until then, use the host name localhost.")
        elif not _is_local(name) and name not in self._names:
            raise Misdirected(
                "This host name isn't the gateway's. Use its address, set a key, or add it to server.names."
            )


def name_in(host: str) -> str:
    """Return the host's name, without port and in lower case. Raises BadRequest if it is malformed."""
    match = _HOST.match(host)
    if match is None or (host.startswith("[") and not _is_address(match["name"].strip("[]"))):
        raise BadRequest("The Host header is malformed.")
    return match["name"].strip("[]").lower().rstrip(".")


def _not_admitted(sentence: str) -> Forbidden:
    return Forbidden(f"Forbidden: {sentence}", details=sentence)


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and parse_address(name).is_loopback)


def _is_local(name: str) -> bool:
    """True for an address, and for a name that can't be a public web page's."""
    if ("." not in name and ":" not in name) or name.endswith(_LOCAL_DOMAINS):
        return bool(name)
    return _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
