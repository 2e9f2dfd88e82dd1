"""Recorded answers in which nothing is to be mended: byte for byte the same through the gateway."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.messages import Message, parse_head
from tests.support.upstream import Received, Script, ScriptedUpstream

from .corpus.__main__ import CORPUS

ANSWERS = json.loads(CORPUS.read_text())
NAMES = [f"{number}-{answer['path'].strip('/')}" for number, answer in enumerate(ANSWERS)]
# Fields of the connection, and those that the gateway sets itself.
OF_THE_GATEWAY = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "x-request-id",
    "x-accel-buffering",
    "vary",
}


def replaying(response: bytes, size: int) -> Script:
    """Send the response in pieces of this size, each of which the client's side can read by itself."""

    async def script(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, separator, body = response.partition(b"\r\n\r\n")
        writer.write(head + separator + body[:size])
        for start in range(size, len(body), size):
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(body[start : start + size])
        writer.close()

    return script


def unchunked(response: bytes) -> tuple[Message, bytes]:
    """Return the head, and the body without its framing."""
    head, _, body = response.partition(b"\r\n\r\n")
    message = Message(parse_head(head + b"\r\n\r\n")[1])
    if message.one("Transfer-Encoding") is None:
        return message, body
    content = bytearray()
    while size := int(body.partition(b"\r\n")[0], 16):
        data = body.partition(b"\r\n")[2]
        content += data[:size]
        body = data[size + 2 :]
    return message, bytes(content)


async def ask(gateway: Gateway, path: str, body: object) -> tuple[int, dict[str, str], bytes]:
    async with gateway.client.post(gateway.url(path), json=body) as response:
        fields = {name.lower(): value for name, value in response.headers.items()}
        return response.status, fields, await response.read()


@pytest.mark.parametrize("answer", ANSWERS, ids=NAMES)
@pytest.mark.parametrize("mend", [True, False])
async def test_it_is_relayed_byte_for_byte(
    start_gateway: StartGateway, upstream: ScriptedUpstream, answer: dict[str, Any], *, mend: bool
) -> None:
    """In whatever pieces it arrives, with mending on and off."""
    response = answer["response"].encode("latin-1")
    head, content = unchunked(response)
    expected = {name.lower(): value for name, value in head.headers if name.lower() not in OF_THE_GATEWAY}
    gateway = await start_gateway(upstream.base_url, compat={"mend": mend})
    for size in (1_000_000, 61, 7):
        upstream.script = replaying(response, size)
        status, fields, body = await ask(gateway, answer["path"], answer["request"])
        assert (status, body) == (int(response.split(b" ")[1]), content)
        fields = {name: value for name, value in fields.items() if name not in OF_THE_GATEWAY}
        assert fields == expected
