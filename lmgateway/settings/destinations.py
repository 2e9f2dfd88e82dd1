"""Where a secret may go: never to a host that a less trusted source names, unless it is this machine.

Otherwise the config.toml of a folder would get the key in the environment of everybody who runs a command in
that folder.
"""

from __future__ import annotations

import socket
from ipaddress import IPv6Address

from ..errors import ConfigError
from ..networks import Address, parse_address
from .collector import SettingValue
from .loading import Loaded
from .source import COMMAND_LINE

_KEY, _TOKEN = "auth.api_key", "lmstudio.api_token"
# Any port: connecting a UDP socket sends nothing.
_PORT = 9


def why_not_to_lm_studio(loaded: Loaded) -> str | None:
    """Return why LM Studio's token isn't sent to lmstudio.base_url; None if it may be."""
    return _why_not(loaded.values[_TOKEN], _TOKEN, loaded, loaded.config.lmstudio.base_url.raw_host or "")


def check_lm_studio(loaded: Loaded) -> None:
    """Raise ConfigError if LM Studio's token must not be sent to lmstudio.base_url."""
    if (problem := why_not_to_lm_studio(loaded)) is not None:
        raise ConfigError([problem])


def why_not_to_gateway(loaded: Loaded, key: str | None = None) -> str | None:
    """Return why the key isn't sent to server.host; None if it may be. `key` is the command line's."""
    secret = loaded.values[_KEY]
    if key:
        secret = SettingValue(secret.setting, key, COMMAND_LINE.name, COMMAND_LINE)
    return _why_not(secret, _KEY, loaded, loaded.config.server.host)


def check_gateway(loaded: Loaded, key: str | None = None) -> None:
    """Raise ConfigError if the key must not be sent to server.host."""
    if (problem := why_not_to_gateway(loaded, key)) is not None:
        raise ConfigError([problem])


def _why_not(secret: SettingValue, path: str, loaded: Loaded, host: str) -> str | None:
    if not secret.value or is_this_machine(host):
        return None
    for place in _PLACES[path]:
        named = loaded.values[place]
        if named.source != secret.source and named.source.trust < secret.source.secrecy:
            return (
                f"{path}, which {secret.origin} sets, isn't sent to {host}: {named.origin} sets {place}, and "
                f"is a less trusted source. {_REMEDIES[path]}"
            )
    return None


# What determines who receives a secret: with server.tls_cert, the commands trust that certificate only.
_PLACES = {_TOKEN: ("lmstudio.base_url",), _KEY: ("server.host", "server.tls_cert")}
_REMEDIES = {
    _TOKEN: "Set lmstudio.base_url (LMSTUDIO_BASE_URL) in the same source, or choose the file with --config.",
    _KEY: "Give the gateway's address with --url, or set server.host (GATEWAY_HOST) in the same source.",
}


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
