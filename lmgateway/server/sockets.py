"""Sockets to listen on: bound here, or handed over."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from ..errors import CannotListen

# Clients that wait to be accepted while the gateway is busy; the system may allow fewer.
BACKLOG = 1024
# sd_listen_fds(3)
_FIRST_INHERITED = 3


def bind(host: str, port: int) -> list[socket.socket]:
    """Return a socket for each address that the host name stands for; "::" takes IPv4 too.

    `port` 0 is any free one, the same for all. Raises CannotListen.
    """
    bound: list[socket.socket] = []
    try:
        dual = host == "::" and socket.has_dualstack_ipv6()
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            if bound:
                address = (address[0], bound[0].getsockname()[1], *address[2:])
            bound.append(socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=dual))
    except OSError as exc:
        for opened in bound:
            opened.close()
        # Python's own words repeat the address, in another form; the system's are those before them.
        said = exc.__context__ if isinstance(exc.__context__, OSError) else exc
        raise CannotListen(f"can't listen on {host} port {port}: {said.strerror}") from exc
    return bound


def inherited(environ: Mapping[str, str]) -> list[socket.socket]:
    """Return the sockets that the service manager opened for this process: none without socket activation.

    They stay open there when this process ends, so that who comes meanwhile waits instead of being refused.
    Raises CannotListen for one that is no listening TCP socket.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    handed = []
    for number in range(_FIRST_INHERITED, _FIRST_INHERITED + int(environ.get("LISTEN_FDS", "0"))):
        os.set_inheritable(number, False)
        opened = socket.socket(fileno=number)
        listens = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if opened.family not in {socket.AF_INET, socket.AF_INET6} or not listens:
            raise CannotListen("the service manager's socket is no listening TCP socket (ListenStream=PORT)")
        handed.append(opened)
    return handed
