"""The unit files, and the drop-ins with what depends on the configuration."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from ...config import Config, Server
from .. import shipped
from ..machine import ANY
from . import files
from .places import CERTIFICATE_DROP_IN, DRAIN_DROP_IN, LOG_DROP_IN, SERVICE, SOCKET, SOCKET_DROP_IN, Places
from .steps import Step


def writing_service(places: Places, drop_ins: Mapping[str, str]) -> Iterator[Step]:
    """Yield the steps that write the service's unit, and that write or remove its drop-ins."""
    yield from _unit(places, SERVICE)
    for name, text in drop_ins.items():
        yield from _put(places, name, text)


def writing_socket(places: Places, config: Config) -> Iterator[Step]:
    """Yield the steps that make the socket listen at server.host and server.port."""
    if SOCKET in places.units:
        yield from _unit(places, SOCKET)
        yield from _put(places, SOCKET_DROP_IN, _address(config.server))


def removing(places: Places) -> Iterator[Step]:
    for name in (*places.units, DRAIN_DROP_IN, LOG_DROP_IN, CERTIFICATE_DROP_IN, SOCKET_DROP_IN):
        yield from files.removing(places.unit_folder / name)


def _unit(places: Places, name: str) -> Iterator[Step]:
    text = shipped.path(places.units[name]).read_text("utf-8")
    yield from files.writing(places.unit_folder / name, text, mode=files.PUBLIC, keeps_copy=True)


def _put(places: Places, name: str, text: str) -> Iterator[Step]:
    path = places.unit_folder / name
    if text:
        yield from files.writing(path, text, mode=files.PUBLIC)
    else:
        yield from files.removing(path)


def _address(server: Server) -> str:
    """Return the socket's drop-in; "" for the address in the unit file."""
    if server.host == ANY and server.port == Server().port:
        return ""
    streams = [f"ListenStream={stream}" for stream in _streams(server.host, server.port)]
    # FreeBind: the address may appear after the socket is opened.
    lines = ["[Socket]", "# server.host and server.port", "ListenStream=", *streams, "FreeBind=yes"]
    return "\n".join([*lines, ""])


def _streams(host: str, port: int) -> Iterator[str]:
    """Yield the addresses in systemd's syntax, which has no host names."""
    if host == ANY:
        yield str(port)
        return
    resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for address in dict.fromkeys(str(one[4][0]) for one in resolved):
        yield f"[{address}]:{port}" if ip_address(address).version == 6 else f"{address}:{port}"
