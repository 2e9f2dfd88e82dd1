"""Damage to the SDK's sockets: to how they begin, to their frames, and to how they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from tests.hostile_studio import documents, websocket
from tests.hostile_studio.sdk import Message, Then, unknown
from tests.hostile_studio.values import SECRET, damaged, odd_value
from tests.hostile_studio.websocket import frame


def damaged_socket(chance: Random, messages: list[Message]) -> Iterator[tuple[bytes, Then]]:
    """Yield the replies in frames with something wrong, or with a connection that ends between them."""
    honest = [json.dumps(message).encode() for message in messages] or [b"{}"]
    first = honest[0]
    close = chance.choice((1000, 1001, 1002, 1006, 1011, 3000, 65535, 0)).to_bytes(2, "big")
    broken: tuple[tuple[bytes, Then], ...] = (
        (frame(first, websocket.BINARY), "go on"),
        (frame(b"\xff\xfe" + first), "go on"),
        (frame(first, mask=True), "go on"),
        (frame(first, flags=4), "go on"),
        (frame(first, kind=5), "go on"),
        (frame(first, final=False), "close"),
        (frame(first, 0), "go on"),
        (frame(close + SECRET.encode(), websocket.CLOSE), "go on"),
        (frame(b"", websocket.CLOSE), "close"),
        (frame(b"\x03", websocket.CLOSE), "close"),
        (b"".join(frame(b"ping", websocket.PING) for _ in range(200)), "go on"),
        (frame(b"p" * 200, websocket.PING), "go on"),
        (frame(b"pong", websocket.PONG), "go on"),
        (frame(first)[: len(first) // 2], "close"),
        (frame(first)[: len(first) // 2], "reset"),
        (frame(first)[: len(first) // 2], "silence"),
        (b"", "silence"),
        (b"", "close"),
        (b"", "reset"),
        (b"\x81\xff" + b"\xff" * 8, "go on"),
        (chance.randbytes(100), "go on"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "go on"),
        (frame(b'{"type":"x","padding":"%s"}' % (b"x" * 3_000_000)), "go on"),
        (
            b"".join(frame(b"y" * 100_000, 1 if number == 0 else 0, final=False) for number in range(60)),
            "close",
        ),
    )
    piece, then = chance.choice(broken)
    yield piece, then
    for message in honest:
        yield (websocket.fragments(message, 5) if chance.random() < 0.2 else frame(message)), "go on"


def greeting(chance: Random) -> tuple[bytes, Then]:
    """Return a damaged answer to what the SDK asks before it connects."""
    body = chance.choice(
        (b'{"lmstudio":%s}' % odd_value(chance), odd_value(chance), b"", b"[" * 5000, b"x" * 10**6)
    )
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    answers: tuple[tuple[bytes, Then], ...] = (
        (whole, "close"),
        (whole, "go on"),
        (whole[: chance.randrange(len(whole))], chance.choice(("close", "reset"))),
        (b"HTTP/1.1 500 %s\r\nContent-Length: 0\r\n\r\n" % SECRET.encode(), "close"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", "close"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope", "close"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "close"),
        (b"\x16\x03\x01", "close"),
    )
    return chance.choice(answers)


def upgrade(chance: Random, key: str) -> tuple[bytes, Then]:
    """Return a damaged answer to the upgrade."""
    good, secret = websocket.upgraded(key), SECRET.encode()
    answers: tuple[tuple[bytes, Then], ...] = (
        (b"HTTP/1.1 403 %s\r\nContent-Length: 0\r\n\r\n" % secret, "close"),
        (b"HTTP/1.1 401 X\r\nContent-Length: 5\r\n\r\n%s" % secret[:5], "close"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "close"),
        (b"HTTP/1.1 500 X\r\n\r\n" + secret * 1000, "close"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "go on"),
        (websocket.upgraded("wrong"), "go on"),
        (websocket.upgraded(key, b"Sec-WebSocket-Extensions: permessage-deflate"), "go on"),
        (websocket.upgraded(key, b"Sec-WebSocket-Protocol: odd"), "go on"),
        (good + frame(unknown(chance)), "go on"),
        (good + chance.randbytes(50), "go on"),
        (good, "close"),
        (good[: chance.randrange(len(good))], chance.choice(("close", "reset"))),
    )
    return chance.choice(answers)


def authentication(chance: Random) -> tuple[bytes, Then]:
    """Return a damaged answer to the client's first message."""
    refused = damaged(chance, {"success": False, "error": {**documents.sdk_error()}})
    answers: tuple[tuple[bytes, Then], ...] = (
        (frame(b'{"success":false,"error":"%s"}' % SECRET.encode()), "close"),
        (frame(b'{"success":false,"error":%s}' % odd_value(chance)), "close"),
        (frame(b'{"success":false}'), "close"),
        (frame(b'{"success":%s}' % odd_value(chance)), "go on"),
        (frame(refused), "go on"),
        (frame(odd_value(chance)), "close"),
        (frame(b'{"success":true}', websocket.BINARY), "go on"),
        (frame(b"\x03\xe8", websocket.CLOSE), "close"),
        (b"", "close"),
        (b"", "reset"),
    )
    return chance.choice(answers)
