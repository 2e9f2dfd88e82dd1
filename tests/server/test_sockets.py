"""Sockets to listen on."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any

import pytest

from lmgateway.server.sockets import bind


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6 here")
def test_any_free_port_is_the_same_at_each_address_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one port is printed, and clients may prefer either address."""

    def both(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0))
        return [six, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with ExitStack() as stack:
        bound = [stack.enter_context(each) for each in bind("localhost", 0)]
        assert len({each.getsockname()[1] for each in bound}) == 1
    assert len(bound) == 2
