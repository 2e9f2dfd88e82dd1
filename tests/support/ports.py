"""A port without a listener that no other process can bind meanwhile."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[tuple[int, socket.socket]]:
    """Yield it and its socket, which a server may listen on. Until then connections are refused."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1], reserved
