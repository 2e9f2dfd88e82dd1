"""Promises about what is in a body. RFC 9110 sections 6.4 and 8.4, RFC 8259 section 6."""

from __future__ import annotations

import asyncio
import gzip
import json
from functools import partial

import pytest

from tests.hostile.conftest import Connect
from tests.hostile.wire import CHAT, ask, post, request
from tests.support.requests import CHUNKED
from tests.support.upstream import Received, ScriptedUpstream, answer, chunk

# No serializer would write it like this.
ODD_JSON = (
    b'\r\n { "big" : 123456789012345678901234567890,"float":1.0,\t"exp": 1E400, "tiny":5e-324,"neg": -0,'
    b'"precise":0.1000000000000000055511151231257827,"escaped":"\\u00e9\\/\\ud83d\\ude00","plain":"\xc3\xa9\xf0\x9f\x98\x80",'
    b'"twice":1,"twice":2,"empty":"","unknown":{"deep":[[[{}]],null,true]} } \n'
)
EVENTS = b": hi\r\n\r\ndata: " + ODD_JSON.strip() + b"\n\ndata:[DONE]\n\n"

# JSON with the spelling of numbers, and with repeated names.
exactly = partial(json.loads, parse_int=str, parse_float=str, object_pairs_hook=list)


@pytest.mark.parametrize(
    "body",
    [
        ODD_JSON,
        b'{"half an emoji":"\\ud83d"}',
    ],
    ids=["odd", "lone surrogate"],
)
async def test_all_values_of_a_request_arrive_though_something_is_added(
    connect: Connect, upstream: ScriptedUpstream, body: bytes
) -> None:
    for path in (CHAT, b"/v1/responses", b"/v1/messages", b"/api/v1/chat"):
        assert (await ask(connect, post(path, body))).status == 200
        sent, arrived = exactly(body), exactly(upstream.last.body)
        assert [pair for pair in arrived if pair in sent] == sent
        assert {name for name, _ in arrived if name not in dict(sent)} >= {"model", "temperature"}


@pytest.mark.parametrize(
    ("path", "bodies"),
    [
        (b"/v1/embeddings", [b'{"model":"m",' + ODD_JSON.strip()[1:], ODD_JSON]),
        (b"/v1/files", [ODD_JSON]),
        (CHAT, [b"[%s]" % ODD_JSON, ODD_JSON + b"}", b'{"model":', b"[" * 20_000, b"", b"null"]),
        (CHAT, [b"\xff\xfe{\x00}\x00", b'{"a":NaN}']),
    ],
    ids=["embeddings", "no inference", "no object", "no JSON"],
)
async def test_json_to_which_nothing_is_added_arrives_byte_for_byte(
    connect: Connect, upstream: ScriptedUpstream, path: bytes, bodies: list[bytes]
) -> None:
    for body in bodies:
        assert (await ask(connect, post(path, body))).status == 200
    assert [received.body for received in upstream.received] == bodies


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("application/json", ODD_JSON), ("text/event-stream", EVENTS)],
    ids=["JSON", "events"],
)
async def test_bodies_of_answers_are_byte_identical(
    connect: Connect, upstream: ScriptedUpstream, content_type: str, body: bytes
) -> None:
    upstream.script = answer(body, content_type=content_type)
    for path in (CHAT, b"/v1/embeddings", b"/v1/files"):
        answered = await ask(connect, post(path, b'{"stream":true}'))
        assert (answered.body, answered.one("Content-Type")) == (body, content_type)


async def test_a_multipart_upload_arrives_byte_identical_with_its_boundary(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    boundary = b"----=_Part 1'()+_,-./:=?"
    part = b'\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = b"--" + boundary + part + bytes(range(256)) * 3600 + b"\r\n--" + boundary + b"--\r\n"
    content_type = b'multipart/form-data; boundary="%s"; Charset=X' % boundary
    path = b"/v1/audio/transcriptions"
    assert (await ask(connect, post(path, body, b"Content-Type: " + content_type))).status == 200
    assert upstream.last.body == body
    assert upstream.last.all("Content-Type") == [content_type.decode()]
    assert upstream.last.all("Content-Length") == [str(len(body))]


@pytest.mark.parametrize("framing", [b"Content-Length: 11", b"Transfer-Encoding: chunked"])
async def test_an_upload_is_passed_on_while_it_is_coming_in(
    connect: Connect, upstream: ScriptedUpstream, framing: bytes
) -> None:
    has_first, is_chunked = asyncio.Event(), b"chunked" in framing

    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8 if is_chunked else 5) == (
            chunk(b"first")[:8] if is_chunked else b"first"
        )
        has_first.set()
        rest = await reader.readuntil(b"second")
        assert rest.endswith(b"second")
        await answer()(request, reader, writer)

    upstream.reads_body, upstream.script = False, script
    async with connect() as client:
        await client.send(request(b"POST /v1/files", framing))
        await client.send(chunk(b"first") if is_chunked else b"first")
        await asyncio.wait_for(has_first.wait(), 5)
        assert (await client.ask(chunk(b"second") + chunk(b"") if is_chunked else b"second")).status == 200


@pytest.mark.parametrize("path", [b"/v1/files", CHAT], ids=["passed", "looked into"])
async def test_binary_bodies_pass_unchanged_both_ways_with_their_types(
    connect: Connect, upstream: ScriptedUpstream, path: bytes
) -> None:
    there, back = bytes(range(256)) * 300, bytes(reversed(range(256))) * 300
    upstream.script = answer(back, content_type='image/x-thing; a="b;c"')
    answered = await ask(connect, post(path, there, b'Content-Type: application/X-Other; q="\\""'))
    assert (upstream.last.body, upstream.last.one("Content-Type")) == (there, 'application/X-Other; q="\\""')
    assert (answered.body, answered.one("Content-Type")) == (back, 'image/x-thing; a="b;c"')
    assert answered.one("Content-Length") == str(len(back))


async def test_compressed_bodies_pass_as_they_are_both_ways(
    connect: Connect, upstream: ScriptedUpstream
) -> None:
    packed = gzip.compress(b'{"model":"m"}')
    for coding in (b"gzip", b"deflate", b"br", b"zstd", b"identity"):
        upstream.script = answer(packed, extra=f"Content-Encoding: {coding.decode()}\r\n")
        sent = await ask(connect, post(b"/v1/files", packed, b"Content-Encoding: " + coding))
        for message in (sent, upstream.last):
            assert (message.body, message.all("Content-Encoding")) == (packed, [coding.decode()])


@pytest.mark.parametrize("path", [CHAT, b"/v1/embeddings", b"/v1/files"])
async def test_a_chunked_request_arrives_whole(
    connect: Connect, upstream: ScriptedUpstream, path: bytes
) -> None:
    body = b'{"model":"m","temperature":1,"max_tokens":1,"x":"%s"}' % (b"\xc3\xa9" * 70_000)
    for data, size in ((body[:200], 1), (body, 1000), (body, 100_000)):
        async with connect() as client:
            await client.send(request(b"POST " + path, CHUNKED))
            for start in range(0, len(data), size):
                await client.send(chunk(data[start : start + size]))
            assert (await client.ask(chunk(b""))).status == 200
        assert upstream.last.body == data
        assert len(upstream.last.all("Transfer-Encoding") + upstream.last.all("Content-Length")) == 1
