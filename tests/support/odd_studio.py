"""A simulated LM Studio whose SDK messages are changed on their way, as no JSON encoder would write them."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest

from lmgateway.simulator.sdk.port import Port


def rewrite_messages(patched: pytest.MonkeyPatch, *changes: tuple[str, str]) -> None:
    """Replace a text with another in the JSON of every message that the simulator's sockets send."""

    async def send(port: Port, message: object) -> None:
        text = msgspec.json.encode(message).decode()
        for old, new in changes:
            text = text.replace(old, new)
        with suppress(ConnectionResetError):
            await port._socket.send_str(text)

    patched.setattr(Port, "send", send)


def replace_messages(patched: pytest.MonkeyPatch, message: str) -> None:
    """Send this text in place of every message of the simulator's sockets that answers a call."""
    original = Port.send

    async def send(port: Port, answer: object) -> None:
        if b'"rpc' in msgspec.json.encode(answer):
            await port._socket.send_str(message)
        else:
            await original(port, answer)

    patched.setattr(Port, "send", send)
