"""Sockets to LM Studio, with small buffers and TCP keep-alive."""

from __future__ import annotations

import errno
import socket

import aiohttp

# The kernel's memory for each stalled client.
RECEIVE_BUFFER_BYTES = 64 * 1024
# A machine that suspends or loses its network sends no FIN, which looks like a long prefill. TCP keep-alive
# ends the connection when all probes stay unanswered: after 15 s + 3 x 5 s.
IDLE_SECONDS, PROBE_SECONDS, PROBES = 15, 5, 3
# Without TCP_USER_TIMEOUT, which would also end the connection to a server that is alive but doesn't read.
_KEEP_ALIVE = (
    ("TCP_KEEPIDLE", IDLE_SECONDS),
    ("TCP_KEEPALIVE", IDLE_SECONDS),  # macOS's name for it
    ("TCP_KEEPINTVL", PROBE_SECONDS),
    ("TCP_KEEPCNT", PROBES),
)
# The errors after unanswered probes. All but the first are reported by a router or a failed ARP lookup.
_GONE = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN}
PEER_GONE = "LM Studio's machine can't be reached any more: it is suspended, off, or has lost its network."


def open_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """Return a new socket for this address."""
    family, kind, protocol, _, _ = info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


def is_peer_gone(exc: BaseException | None) -> bool:
    """True if the connection ended because the other machine acknowledged nothing."""
    while exc is not None:
        if isinstance(exc, OSError) and exc.errno in _GONE:
            return True
        exc = exc.__cause__
    return False
