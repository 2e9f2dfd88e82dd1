"""What is sent that is large, odd or no HTTP at all."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator

import aiohttp

from tests.support.raw_client import raw_client

from .client import EMBEDDING_MODEL, MAX_BODY_BYTES, MAX_UPLOAD_BYTES, Broke, Client, Unexpected

# Read whole by the gateway. LM Studio refuses long prompts without a model's work, with the number of tokens.
READ_WHOLE = "/v1/chat/completions"
# Passed on while it is still coming in.
PASSED_ON = "/v1/audio/transcriptions"
PIECE = b"x" * 65536
_STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)
_NUMBER = re.compile(r"\d+")
_REQUEST_ID = re.compile(rb"^X-Request-Id: (\S+)\r$", re.MULTILINE | re.IGNORECASE)


async def upload(client: Client) -> str:
    size = client.random.randint(50_000, 1_000_000)
    if client.random.random() < 0.5:
        body = {"messages": [{"role": "user", "content": "word " * (size // 5)}]}
        refusal = await client.ask("POST", READ_WHOLE, json=body, status=400)
        if max(map(int, _NUMBER.findall(str(refusal)))) < size // 5:
            raise Unexpected(f"{size} bytes were taken for {refusal}")
        return "complete, read whole"
    form = aiohttp.FormData({"model": "whisper"})
    form.add_field("file", bytes(size), filename="speech.wav", content_type="audio/wav")
    # LM Studio reads it, and has no such endpoint.
    await client.ask("POST", PASSED_ON, data=form, status=404)
    return "complete, passed on"


async def upload_half(client: Client) -> str:
    path = client.random.choice((READ_WHOLE, PASSED_ON))
    head = f"POST {path} HTTP/1.1\r\nContent-Length: 3000000\r\nContent-Type: text/plain\r\n".encode()
    async with raw_client(client.port) as peer:
        await peer.send(head + client.head + b"\r\n")
        for _ in range(client.random.randint(0, 20)):
            await peer.send(PIECE)
            await asyncio.sleep(client.random.uniform(0, 0.02))
    return "left"


async def upload_too_much(client: Client) -> str:
    """Announced, or noticed while it is read."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // len(PIECE) + 10):
            yield PIECE

    path, size = client.random.choice(((READ_WHOLE, MAX_BODY_BYTES + 1), (PASSED_ON, MAX_UPLOAD_BYTES + 1)))
    if client.random.random() < 0.5:
        await client.ask("POST", path, data=bytes(size), status=413)
        return "refused 413, announced"
    await client.ask("POST", READ_WHOLE, data=pieces(), status=413)
    return "refused 413, noticed"


async def upload_without_key(client: Client) -> str:
    path = client.random.choice((READ_WHOLE, PASSED_ON))
    headers = {"X-API-Key": "a wrong key"} if client.random.random() < 0.5 else {}
    await client.ask("POST", path, data=bytes(500_000), headers=headers, status=401)
    return "refused 401"


async def pipeline(client: Client) -> str:
    """Several requests in one piece: the answers come in their order."""
    body = b'{"input":"a text","model":"%s"}' % EMBEDDING_MODEL.encode()
    post = b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: %d\r\n" % len(body)
    choices = (
        (b"GET /health HTTP/1.1\r\n", b""),
        (b"GET /v1/models HTTP/1.1\r\n", b""),
        (b"GET /debug/status HTTP/1.1\r\n", b""),
        (post, body),
    )
    ids = [f"soak-{secrets.token_hex(8)}".encode() for _ in range(client.random.randint(2, 6))]
    sent = b""
    for request_id in ids:
        line, content = client.random.choice(choices)
        ends = b"Connection: close\r\n" if request_id == ids[-1] else b""
        sent += line + client.head + ends + b"X-Request-Id: %s\r\n\r\n" % request_id + content
    async with raw_client(client.port) as peer:
        await peer.send(sent)
        answers = await peer.reader.read()
    if _REQUEST_ID.findall(answers) != ids:
        raise Unexpected(f"{len(ids)} pipelined requests were answered by {answers[:2000]!r}")
    _judge(answers, {b"200"})
    return "complete"


async def malformed(client: Client) -> str:
    name, sent, statuses = client.random.choice(_malformed(client.head))
    async with raw_client(client.port) as peer:
        await peer.send(sent)
        if not statuses:
            await asyncio.sleep(client.random.uniform(0, 0.5))
            return f"left, {name}"
        _judge(await peer.reader.read(), statuses)
    return f"refused, {name}"


def _malformed(head: bytes) -> list[tuple[str, bytes, set[bytes]]]:
    """Each with the status that it must get; none for what can only be left alone."""
    post = b"POST /v1/chat/completions HTTP/1.1\r\n" + head
    chunked, close, bad = b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", {b"400"}
    return [
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n", bad),
        ("no request line", b"GARBAGE\r\n\r\n", bad),
        ("no field", b"GET /v1/models HTTP/1.1\r\n" + head + b"neither name nor value\r\n\r\n", bad),
        ("no host", b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", bad),
        (
            "long field",
            b"GET /v1/models HTTP/1.1\r\n" + head + b"A: " + b"a" * 40_000 + b"\r\n\r\n",
            {b"431"},
        ),
        ("two lengths", post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", bad),
        ("two framings", post + b"Content-Length: 2\r\n" + chunked + b"\r\n0\r\n\r\n", bad),
        ("broken chunk", post + chunked + b"\r\n2\r\n{}\r\nZZZ\r\n", bad),
        ("dot segments", b"GET /v1/../admin/models HTTP/1.1\r\n" + head + close + b"\r\n", bad),
        ("half a head", post[:-10], set()),
        ("half a body", post + b"Content-Length: 2000\r\n\r\n{", set()),
        ("nothing", b"", set()),
    ]


def _judge(answers: bytes, expected: set[bytes]) -> None:
    statuses = _STATUS.findall(answers)
    if statuses and set(statuses) <= expected:
        return
    kind = Broke if statuses and set(statuses) <= expected | {b"502", b"503"} else Unexpected
    raise kind(f"expected {expected}, got {answers[:1000]!r}")
