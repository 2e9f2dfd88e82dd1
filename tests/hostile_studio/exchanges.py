"""The honest requests whose answers are damaged, and what an answer of the gateway's must never be."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

from tests.hostile_studio import documents

# A request with the field CASE gets the damage of that number.
CASE = "X-Case"
STREAMS = "X-Streams"
GATEWAY_FAILED = b"The gateway failed"

CHATS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/api/v0/chat/completions",
    "/v1/messages",
    "/v1/responses",
)
_PATHS = (
    *(*CHATS, *CHATS, "/api/v1/chat", "/v1/embeddings", "/v1/models", "/api/v0/models"),
    "/v1/audio/transcriptions",
)


def request_of(seed: str, index: int, key: str) -> tuple[bytes, bytes]:
    """Return the method and the bytes of the honest request whose answer is damaged."""
    chance = Random(f"{seed}/{index}/request")
    path, stream = chance.choice(_PATHS), chance.random() < 0.6
    fields = f"Host: gateway.local\r\nX-API-Key: {key}\r\nX-Request-Id: case-{index}\r\nConnection: close\r\n"
    fields += f"{CASE}: {index}\r\n"
    if path.endswith("models"):
        method = chance.choice(("GET", "GET", "HEAD"))
        return method.encode(), f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode()
    if path.endswith("transcriptions"):
        body = bytes(chance.choice((10, 100_000)))
    else:
        content: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "input": "hi"}
        content["model"] = documents.LLM if chance.random() < 0.5 else documents.EMBEDDING
        if stream:
            content["stream"] = True
            fields += f"{STREAMS}: 1\r\n"
            if chance.random() < 0.3:
                content["stream_options"] = {"include_usage": True}
        if chance.random() < 0.05:
            content["padding"] = "x" * 100_000
        body = json.dumps(content).encode()
        fields += "Content-Type: application/json\r\n"
    head = f"POST {path} HTTP/1.1\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    return b"POST", head.encode() + body


def fault_of(method: bytes, received: bytes) -> str | None:
    """Return what is wrong with an answer of the gateway's. It may break off, but not be ambiguous."""
    if GATEWAY_FAILED in received:
        return "a failure of the gateway's own"
    if not received:
        return "no answer"
    head, empty_line, body = received.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    found = re.fullmatch(rb"HTTP/1\.1 ([0-9]{3}) [^\x00-\x1f\x7f]*", line)
    if found is None or any(
        not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00\r\n]*", field) for field in lines
    ):
        return "a malformed head"
    if not empty_line:
        return None
    fields = {name.lower(): value for name, _, value in (field.partition(b": ") for field in lines)}
    if method == b"HEAD" or found[1] in {b"204", b"304"}:
        return "a body where none may be" if body else None
    if b"transfer-encoding" in fields:
        return "two framings" if b"content-length" in fields else _fault_of_chunks(body)
    if b"content-length" in fields:
        return "more than its length" if len(body) > int(fields[b"content-length"]) else None
    return None


def _fault_of_chunks(body: bytes) -> str | None:
    while body:
        size, end_of_line, body = body.partition(b"\r\n")
        if not end_of_line:
            return None
        if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", size):
            return f"the chunk size {size[:40]!r}"
        length = int(size, 16)
        if not length:
            return None if body in {b"\r\n", b"\r", b""} else "bytes after the last chunk"
        if body[length : length + 2] not in {b"\r\n", b"\r", b""}:
            return "a chunk that is longer than its size"
        body = body[length + 2 :]
    return None
