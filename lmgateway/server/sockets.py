"""Listening sockets: bound here, or inherited from the service manager."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

from ..errors import CannotListen

# The accept queue's length; the system may limit it further.
BACKLOG = 1024
# sd_listen_fds(3)
_FIRST_INHERITED = 3


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind a socket for each address that the host name resolves to; "::" accepts IPv4 too.

    `port` 0 chooses a free one, the same for all addresses. Raises CannotListen.
    """
    bound: list[socket.socket] = []
    try:
        dual = host == "::" and socket.has_dualstack_ipv6()
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in resolved):
            if bound:
                address = (address[0], bound[0].getsockname()[1], *address[2:])
            bound.append(socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=dual))
    except OSError as exc:
        for opened in bound:
            opened.close()
        # Python wraps the system's error in one whose message repeats the address.
        original = exc.__context__ if isinstance(exc.__context__, OSError) else exc
        message = f"can't listen on {host} port {port}: {original.strerror}"
        raise CannotListen(message, port=port, errno=original.errno) from exc
    return bound


def inherited(environ: Mapping[str, str]) -> list[socket.socket]:
    """Return the sockets that the service manager opened for this process; [] without socket activation.

    The service manager keeps them open when this process ends, so that clients that connect during a restart
    wait instead of being refused. Raises CannotListen for a socket that isn't a listening TCP socket.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    sockets = []
    for number in range(_FIRST_INHERITED, _FIRST_INHERITED + int(environ.get("LISTEN_FDS", "0"))):
        os.set_inheritable(number, False)
        opened = socket.socket(fileno=number)
        listens = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if opened.family not in {socket.AF_INET, socket.AF_INET6} or not listens:
            raise CannotListen(
                "the service manager's socket isn't a listening TCP socket (set ListenStream=PORT)"
            )
        sockets.append(opened)
    return sockets


def has_acknowledged_all(descriptor: int) -> bool:
    """Return whether the peer has acknowledged every byte that was sent; False where the system can't say."""
    if sys.platform != "linux" or descriptor < 0:
        return False
    import fcntl  # there is none on Windows
    import termios

    # SIOCOUTQ of tcp(7). If the kernel's buffer is empty, so is the event loop's, which would have filled it.
    return fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4) == b"\0" * 4
