"""Where a secret may go: never to a host that a less trusted source names, unless it is this machine.

Otherwise the config.toml of a folder would get the key in the environment of everybody who runs a command in
that folder.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv6Address

from ..errors import ConfigError
from ..networks import Address, parse_address
from .boxes import table_of
from .collector import SettingValue
from .loading import Loaded
from .source import COMMAND_LINE

_KEY = "auth.api_key"
# What determines who receives the key: with server.tls_cert, the commands trust that certificate only.
_PLACES_OF_KEY = ("server.host", "server.tls_cert")
_REMEDY_OF_KEY = (
    "Give the gateway's address with --url, or set server.host (GATEWAY_HOST) in the same source."
)
# Any port: connecting a UDP socket sends nothing.
_PORT = 9


def why_not_to_lm_studio(loaded: Loaded, box: str) -> str | None:
    """Return why a box's token isn't sent to its base_url; None if it may be."""
    table = table_of(loaded.config, box)
    token, place = f"{table}.api_token", f"{table}.base_url"
    host = loaded.config.studios[box].base_url.raw_host or ""
    return _why_not(
        loaded.values[token], token, loaded, host, (place,), _remedy_of_token(loaded, token, place)
    )


def why_not_to_lm_studios(loaded: Loaded) -> list[str]:
    """Return why a token isn't sent to a box, for each such box."""
    problems = (why_not_to_lm_studio(loaded, box) for box in loaded.config.studios)
    return [problem for problem in problems if problem is not None]


def check_lm_studios(loaded: Loaded) -> None:
    """Raise ConfigError if the token of a box must not be sent to its base_url."""
    if problems := why_not_to_lm_studios(loaded):
        raise ConfigError(problems)


def _remedy_of_token(loaded: Loaded, token: str, place: str) -> str:
    if not loaded.values[token].is_inherited:
        variable = "".join(f" ({name})" for name in loaded.values[place].setting.env)
        return f"Set {place}{variable} in the same source, or choose the file with --config."
    # No variable could set the box's address.
    return f"Set {token} in the same source as {place}, or choose the file with --config."


def why_not_to_gateway(loaded: Loaded, key: str | None = None) -> str | None:
    """Return why the key isn't sent to server.host; None if it may be. `key` is the command line's."""
    secret = loaded.values[_KEY]
    if key:
        secret = SettingValue(secret.setting, key, COMMAND_LINE.name, COMMAND_LINE)
    return _why_not(secret, _KEY, loaded, loaded.config.server.host, _PLACES_OF_KEY, _REMEDY_OF_KEY)


def check_gateway(loaded: Loaded, key: str | None = None) -> None:
    """Raise ConfigError if the key must not be sent to server.host."""
    if (problem := why_not_to_gateway(loaded, key)) is not None:
        raise ConfigError([problem])


def _why_not(
    secret: SettingValue, path: str, loaded: Loaded, host: str, places: Iterable[str], remedy: str
) -> str | None:
    if not secret.value or is_this_machine(host):
        return None
    for place in places:
        named = loaded.values[place]
        if named.source != secret.source and named.source.trust < secret.source.secrecy:
            return (
                f"{path}, which {secret.origin} sets, isn't sent to {host}: {named.origin} sets {place}, and "
                f"is a less trusted source. {remedy}"
            )
    return None


def is_this_machine(host: str) -> bool:
    """True for localhost and for an address of this machine. Any other name may resolve to any address."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        address = parse_address(host)
    except ValueError:
        return False
    if _is_loopback(address):
        return True
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # The system sends to its own addresses from the same address, and to others from another one.
            probe.connect((str(address), _PORT))
            return parse_address(probe.getsockname()[0]) == address
    except OSError:
        return False


def _is_loopback(address: Address) -> bool:
    # A client that connects to the unspecified address reaches its own machine.
    return address.is_loopback or address.is_unspecified
