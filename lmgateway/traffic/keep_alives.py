"""What a stream sends while its client waits, in each API's own form.

Sources: WHATWG HTML section 9.2 (comments), Anthropic's streaming events (`ping`), Codex' event parser, which
counts no comments, and OpenAI's libraries, whose `.stream()` helpers accept no event before
`response.created`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from .dialects import Protocol

ChatForm = Literal["comment", "chunk"]

# With its empty line: a simple parser would otherwise take the next event for a part of the comment.
COMMENT = b": waiting\n\n"
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_FOR_CODEX = b'event: keepalive\ndata: {"type": "keepalive", "sequence_number": 0}\n\n'


def keep_alive(protocol: Protocol, path: str, form: ChatForm, *, for_codex: bool) -> bytes:
    """Return the keep-alive of a stream of this API."""
    if protocol == "messages":
        return _PING
    if protocol == "responses" and for_codex:
        return _FOR_CODEX
    if protocol == "openai" and form == "chunk":
        return b"data: %s\n\n" % msgspec.json.encode(_empty_chunk(path))
    return COMMENT


def _empty_chunk(path: str) -> dict[str, object]:
    is_chat = path.endswith("/chat/completions")
    empty: dict[str, object] = {"delta": {}} if is_chat else {"text": ""}
    choice = {"index": 0, "finish_reason": None, **empty}
    kind = "chat.completion.chunk" if is_chat else "text_completion"
    return {"id": "waiting", "object": kind, "created": 0, "model": "", "choices": [choice]}


def is_codex(headers: Mapping[str, str]) -> bool:
    """True for requests of Codex, which its User-Agent or the header `originator` shows."""
    return headers.get("User-Agent", "").lower().startswith("codex") or "originator" in headers
