"""The last bytes of a stream that its relay hasn't read yet."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from lmgateway.aiohttp_private.flow_control import unread_end
from lmgateway.traffic.stream_end import reports_error

TOKEN = b'data: {"choices":[{"delta":{"content":"event: error"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
UNLOADED = b'event: error\ndata: {"error":{"message":"Model unloaded."},"message":"Model unloaded."}\n\n'


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (UNLOADED, True),
        (TOKEN + UNLOADED + DONE, True),
        (b'data: {"error":{"message":"Model unloaded."}}\n\n', True),
        (b'data: {"type":"error","error":{"message":"Model unloaded."}}\n\n', True),
        (b'event: response.failed\ndata: {"type":"response.failed"}\n\n', True),
        (TOKEN + DONE, False),
        (b'data: {"error": null}\n\n', False),
        (b"", False),
    ],
)
def test_an_end_that_reports_an_error(end: bytes, expected: bool) -> None:
    """A model's text can't look like one: line breaks are escaped in it."""
    assert reports_error(end) is expected


async def test_the_last_pieces_are_shown_and_stay() -> None:
    """What was read already isn't among them."""
    body = StreamReader(BaseProtocol(asyncio.get_running_loop()), 1024, loop=asyncio.get_running_loop())
    assert unread_end(body, 2) == b""
    for piece in (b"-a", b"b", b"c"):
        body.feed_data(piece)
    assert await body.readexactly(1) == b"-"
    assert (unread_end(body, 2), unread_end(body, 9)) == (b"bc", b"abc")
    assert await body.readany() == b"abc"
    assert unread_end(body, 2) == b""
    assert unread_end(EMPTY_PAYLOAD, 2) == b""
