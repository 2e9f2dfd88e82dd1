"""The server's side of RFC 6455, as far as a peer needs that may also break it."""

from __future__ import annotations

import asyncio
import base64
import hashlib

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept(key: str) -> bytes:
    """Return the value of Sec-WebSocket-Accept."""
    return base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest())


def upgraded(key: str, *fields: bytes) -> bytes:
    """Return the head that accepts the upgrade."""
    lines = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + accept(key), *fields)
    return b"HTTP/1.1 101 Switching Protocols\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def frame(
    payload: bytes, kind: int = TEXT, *, final: bool = True, flags: int = 0, mask: bool = False
) -> bytes:
    """Return one frame. `flags` are the reserved bits; a server must not mask."""
    first = bytes([final << 7 | flags << 4 | kind])
    size, masked = len(payload), mask << 7
    if size < 126:
        head = bytes([masked | size])
    elif size < 65536:
        head = bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([masked | 127]) + size.to_bytes(8, "big")
    # A mask of zeros leaves the payload as it is.
    return first + head + bytes(4 if mask else 0) + payload


def fragments(payload: bytes, number: int) -> bytes:
    """Return the same message in several frames."""
    size = len(payload) // number + 1
    parts = [payload[start : start + size] for start in range(0, len(payload), size)]
    last = len(parts) - 1
    return b"".join(
        frame(part, TEXT if place == 0 else 0, final=place == last) for place, part in enumerate(parts)
    )


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the kind and the payload of the client's next frame; its messages are never fragmented."""
    first, second = await reader.readexactly(2)
    size = second & 127
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    mask = await reader.readexactly(4) if second & 128 else bytes(4)
    payload = await reader.readexactly(size)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return first & 15, (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
