"""What a command says if it can't listen."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

import psutil
import pytest

from lmgateway.cli.ports import explain, how_to_find
from lmgateway.errors import CannotListen
from lmgateway.server.sockets import bind
from tests.support.process import run


@pytest.mark.parametrize("command", ["demo", "simulate", "serve"])
async def test_the_program_that_has_the_port_is_named(command: str, tmp_path: Path) -> None:
    """This test holds it, in a process of its own name."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        host = [] if command == "demo" else ["--host", "127.0.0.1"]
        status, output = await run(command, *host, "--port", str(port), cwd=tmp_path)
    holder = f"by {psutil.Process().name()} (process {os.getpid()})"
    assert (status, holder in output, "another port with --port" in output) == (71, True, True)


def test_a_program_that_is_hidden_is_found_by_an_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's, as root's is."""
    monkeypatch.setattr(psutil, "net_connections", lambda _kind: [])
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(CannotListen) as failed:
            bind("127.0.0.1", port)
    explained = explain(failed.value)
    assert explained.startswith(f"can't listen on 127.0.0.1 port {port}: Address already in use. ")
    assert f"`{how_to_find(port)}`" in explained


def test_on_macos_the_system_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, only root may list the sockets of others."""

    def refuse(_kind: str) -> list[object]:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    monkeypatch.setattr(sys, "platform", "darwin")
    failure = CannotListen("can't listen", port=8002, errno=errno.EADDRINUSE)
    assert "`sudo lsof -nP -iTCP:8002 -sTCP:LISTEN`" in explain(failure)


@pytest.mark.parametrize(("host", "advice"), [("203.0.113.1", "with --host"), ("nobody.invalid", "")])
def test_an_address_of_another_machine(host: str, advice: str) -> None:
    """The address is the mistake, not the port."""
    with pytest.raises(CannotListen) as failed:
        bind(host, 0)
    assert advice in explain(failed.value)
    assert "--port" not in explain(failed.value)


def test_a_port_that_needs_more_rights() -> None:
    """Other ports don't."""
    failure = CannotListen(
        "can't listen on 127.0.0.1 port 80: Permission denied", port=80, errno=errno.EACCES
    )
    assert "choose another one with --port" in explain(failure)
