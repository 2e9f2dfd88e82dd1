"""The beginning of a conversation: what a request shares with the conversation's later ones.

LM Studio caches prompts, so a conversation is answered fastest by the box that has answered its beginning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import blake2b

from .dialects import Dialect
from .requirements import previous_response
from .rewrite import Body

DIGEST_BYTES = 16
# A value is read up to here, first in the smaller window. Agents' instructions of 60 KB take 0.2 ms, an array
# of tiny numbers up to 8 ms.
WINDOWS_BYTES = (16 * 1024, 96 * 1024)
PROMPT_BYTES = 1024
# A beginning of more messages has no digest, and of a message's parts so many count. Each takes a few µs.
MAX_MESSAGES = MAX_PARTS = 100
# The members with a conversation's instructions, by API, and the member with its messages.
_INSTRUCTIONS = {"messages": "system", "responses": "instructions", "native": "system_prompt"}
_MESSAGES = {"openai": "messages", "messages": "messages", "responses": "input", "native": "input"}
# No set: a client may send a type that is no text, and has no hash.
_TEXT_PARTS = ("text", "input_text", "output_text")
# Clients set this mark of Anthropic's on their newest message, whose text is then a part instead of a string.
_MARK = "cache_control"
_SPACES = re.compile(r"[ \t\n\r]*")

# Unlike msgspec's, it takes lone surrogates, and decodes a value that text follows.
_DECODER = json.JSONDecoder()
_ENCODE = json.JSONEncoder(sort_keys=True, check_circular=False, separators=(",", ":")).encode


def beginning(body: Body, dialect: Dialect) -> bytes | None:
    """Return a digest of a conversation's instructions and its messages up to the first one of the user.

    It compares meaning: spaces, escapes, and a text as a string or as a part make no difference. Of a prompt
    without messages, the first 1,024 bytes count. None if there are neither, and for a request that continues
    a response by its id. 10 µs for 2 KB; a beginning that is longer than 96 KiB counts up to there.
    """
    if not dialect.generates or body.fields is None or previous_response(body, dialect) is not None:
        return None
    fields, name = body.fields, _MESSAGES[dialect.protocol]
    if dialect.protocol == "openai" and name not in fields:
        return _prompt(body.value("prompt"))
    instructions, messages = body.value(_INSTRUCTIONS.get(dialect.protocol, "")), body.value(name)
    try:
        first = _read(messages, is_native=dialect.protocol == "native")
        if first is None:
            return None
        digest = blake2b(_instructions(instructions), digest_size=DIGEST_BYTES)
    except (ValueError, RecursionError):  # nested too deeply, or a number of more than 4,300 digits
        return None
    digest.update(first)
    return digest.digest()


def _prompt(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else blake2b(value[:PROMPT_BYTES], digest_size=DIGEST_BYTES).digest()


def _instructions(value: bytes | memoryview | None) -> bytes:
    """Return them in one spelling, as a message of the role "system" has them."""
    if value is None:
        return b""
    if len(value) > WINDOWS_BYTES[-1]:
        return bytes(value[: WINDOWS_BYTES[-1]])
    content = _DECODER.decode(str(value, "utf-8", "replace"))
    return b"" if not content else _spelled("system", content)


def _read(value: bytes | memoryview | None, *, is_native: bool) -> bytes | None:
    """Return the messages up to the first one of the user in one spelling, None without such a message.

    If that message ends behind the last window, return the window's bytes: those of a later request are the
    same.
    """
    if value is None:
        return None
    for window_bytes in WINDOWS_BYTES:
        # The window may end within a character.
        text = str(value[:window_bytes], "utf-8", "replace")
        try:
            if not text.startswith("["):
                return _text(text)
            return _first_messages(text, is_native=is_native)
        except json.JSONDecodeError:
            if len(value) <= window_bytes:
                raise
    return bytes(value[: WINDOWS_BYTES[-1]])


def _text(text: str) -> bytes | None:
    """Return a message of the user for a text alone. Raises JSONDecodeError if it is cut off."""
    content, _ = _DECODER.raw_decode(text)
    return _spelled("user", content) if isinstance(content, str) else None


def _first_messages(text: str, *, is_native: bool) -> bytes | None:
    spelled = []
    for message in _items(text):
        if not isinstance(message, dict):
            return None
        role = message.get("role")
        # LM Studio's own API has parts instead of messages, all of them of the user.
        if is_native and role is None and message.get("type") != "image":
            role = "user"
        spelled.append(_spelled(role, message.get("content", message)))
        if role == "user":
            return b"".join(spelled)
        if len(spelled) >= MAX_MESSAGES:
            return None
    return None


def _items(text: str) -> Iterator[object]:
    """Yield the items of this array one by one. Raises JSONDecodeError where it is cut off."""
    at = 1
    while True:
        at = _behind_spaces(text, at)
        if text.startswith("]", at):
            return
        item, at = _DECODER.raw_decode(text, at)
        yield item
        at = _behind_spaces(text, at)
        if text.startswith(",", at):
            at += 1


def _behind_spaces(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    return at if found is None else found.end()


def _spelled(role: object, content: object) -> bytes:
    """Return a message in one spelling, which is no prefix of another's."""
    parts = content if isinstance(content, list) else [] if content is None else [content]
    parts = parts[:MAX_PARTS]
    return b"".join((b"%d " % len(parts), _part(role), *map(_part, parts)))


def _part(part: object) -> bytes:
    """Return a part of a message in one spelling."""
    if isinstance(part, dict):
        text = part.get("text")
        if isinstance(text, str) and part.get("type") in _TEXT_PARTS:
            part = text
        elif _MARK in part:
            part = {name: value for name, value in part.items() if name != _MARK}
    if isinstance(part, str):
        spelled = part.encode("utf-8", "surrogatepass")  # a fifth of the time that encoding JSON takes
        return b"%d:%b" % (len(spelled), spelled)
    return b"%b " % _ENCODE(part).encode()
