"""Promises about the log: no byte of an answer or a prompt stands in it, whatever fails."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmgateway.observe import logs
from lmgateway.server.loop import _log_unhandled
from tests.hostile.conftest import KEY
from tests.hostile.gateway_process import running_process
from tests.hostile.wire import CHAT, json_post, request
from tests.support.raw_client import raw_client
from tests.support.upstream import ScriptedUpstream, raw

SECRET = "Dear diary"
OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = b"Content-Type: application/json\r\n"
ANSWERS = {
    "no HTTP": b"Dear diary, today\r\n\r\n",
    "status line": b"HTTP/1.1 Dear diary\r\n\r\n",
    "reason": b"HTTP/1.1 200 Dear diary\x00\r\nContent-Length: 2\r\n\r\n{}",
    "half a head": OK + b"X-Prompt: Dear diary\r\n",
    "header line": OK + b"Dear diary\r\n\r\n",
    "header value": OK + b"X-A: Dear diary\x00\r\nContent-Length: 2\r\n\r\n{}",
    "header name": OK + b"Dear diary: x\r\nContent-Length: 2\r\n\r\n{}",
    "long header": OK + b"X-A: " + b"Dear diary" * 10_000 + b"\r\n\r\n",
    "length": OK + b"Content-Length: Dear diary\r\n\r\n{}",
    "coding": OK + b"Transfer-Encoding: Dear diary\r\n\r\n{}",
    "chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\nDear diary\r\n",
    "chunk data": OK + PLAIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\nDear diary\r\n0\r\n\r\n",
    "after a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nDear diary\r\n",
    "short body": OK + PLAIN + b"Content-Length: 99\r\n\r\nDear diary",
    "too much": OK + b"Content-Length: 2\r\n\r\n{}Dear diary\r\n\r\n",
    "no JSON": OK + PLAIN + b"Content-Length: 10\r\n\r\nDear diary",
    "odd usage": OK + PLAIN + b'Content-Length: 23\r\n\r\n{"usage": "Dear diary"}',
    "switched": b"HTTP/1.1 101 Dear diary\r\nUpgrade: Dear diary\r\n\r\nDear diary",
    "trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nDear diary\r\n\r\n",
}
PROMPT = b'{"messages": [{"role": "user", "content": "Dear diary"}], "stream": true}'
REQUESTS = (
    request(b"GET /v1/models"),
    json_post(CHAT, PROMPT),
    request(b"PUT /v1/files", b"Transfer-Encoding: chunked") + b"A\r\nDear diary\r\n0\r\n\r\n",
)


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_no_byte_of_an_answer_is_logged(tmp_path: Path, upstream: ScriptedUpstream, level: str) -> None:
    async with running_process(
        tmp_path, upstream.base_url, f"logging.level={level}", "lmstudio.connect_attempts=1"
    ) as served:
        for pieces in ANSWERS.values():
            upstream.script = raw(pieces)
            for sent in REQUESTS:
                async with raw_client(served.port) as client:
                    await client.send(sent)
                    await client.head()
            async with raw_client(served.port) as client:
                # The SDK is answered the same.
                await client.send(request(b"GET /admin/models"))
                await client.head()
        async with raw_client(served.port) as client:
            await client.send(request(b"GET /nowhere/at-the-end"))
            await client.answer()
            async with asyncio.timeout(5):
                while b"at-the-end" not in served.log:
                    await asyncio.sleep(0.01)
        text = served.log.decode()
    assert "LM Studio doesn't answer" in text
    assert SECRET not in text
    assert "diary" not in text
    assert KEY not in text


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    stream = io.StringIO()
    logs.configure("info", "plain", stream)
    yield stream
    root.handlers = before
    root.setLevel(level)


def fail_with_a_prompt() -> None:
    try:
        int(SECRET)
    except ValueError as exc:
        raise KeyError(SECRET) from exc


@pytest.mark.parametrize("style", ["plain", "json"])
def test_an_unexpected_exception_does_not_quote_its_data(log: io.StringIO, style: str) -> None:
    """A traceback says what failed and where, also of the cause."""
    logs.configure("info", "json" if style == "json" else "plain", log)
    try:
        fail_with_a_prompt()
    except KeyError:
        logging.getLogger("lmgateway.test").exception("failed")
    text = log.getvalue()
    assert "diary" not in text
    for part in ("fail_with_a_prompt", "ValueError", "KeyError", "int(SECRET)"):
        assert part in text


async def test_an_exception_that_nothing_caught_does_not_quote_its_data(log: io.StringIO) -> None:
    """asyncio's own handler shows a callback's arguments, and a task with its exception."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_unhandled)
    called = asyncio.Event()

    def callback(data: str) -> None:
        called.set()
        raise ValueError(data)

    loop.call_soon(callback, SECRET)
    await called.wait()
    await asyncio.sleep(0)
    text = log.getvalue()
    assert "ValueError" in text
    assert "diary" not in text
