"""Texts that others choose: bounded, without keys, and printable. Each is cleaned where it comes in."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate

NAME_CHARACTERS = 256
METHOD_CHARACTERS = 32
SENTENCE_CHARACTERS = 1024
PATH_BYTES = 1024
# A key that is longer than this may be redacted only in part if its text is cut off.
KEY_CHARACTERS = 32 * 1024

# Characters that act on a terminal or on the order of the text beside them, and those that can't be encoded:
# controls, line separators, bidirectional controls, the byte order mark, tags, and surrogates.
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def replace_unprintable(text: str, replacement: Callable[[str], str]) -> str:
    """Return the text with each character that isn't printable replaced."""
    # str.isprintable() is stricter, and faster than the search: 40 ns for a short text.
    return text if text.isprintable() else _UNPRINTABLE.sub(lambda match: replacement(match[0]), text)


def printable(text: str) -> str:
    """Return the text with escapes, such as `\\x1b`, for the characters that aren't printable."""
    return replace_unprintable(text, _escape)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def repaired(text: str) -> str:
    """Return the text with lone surrogates, which can't be encoded, replaced."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def bounded(text: str, characters: int) -> str:
    """Return the text, cut off behind so many characters."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def clean_name(text: str, redact: Callable[[str], str] = str) -> str:
    """Return a name as it is recorded and shown."""
    if len(text) <= NAME_CHARACTERS and text.isprintable():  # nearly every name; a few 100 ns less
        shown = redact(text)
        return text if shown is text else bounded(shown, NAME_CHARACTERS)
    return bounded(printable(_redacted_start(text, NAME_CHARACTERS, redact)), NAME_CHARACTERS)


def clean_sentence(text: str, redact: Callable[[str], str] = str) -> str:
    """Return a sentence, such as an error's message, as it is recorded and shown."""
    return bounded(printable(_redacted_start(text, SENTENCE_CHARACTERS, redact)), SENTENCE_CHARACTERS)


def clean_path(text: str) -> str:
    """Return a request's path, without keys already, as it is recorded, logged and shown."""
    if len(text) <= PATH_BYTES and text.isascii() and text.isprintable():
        return text
    shown = printable(text[:PATH_BYTES])
    encoded = shown.encode()
    if len(encoded) <= PATH_BYTES and len(text) <= PATH_BYTES:
        return shown
    return encoded[: PATH_BYTES - len("…".encode())].decode("utf-8", "ignore") + "…"


def _redacted_start(text: str, characters: int, redact: Callable[[str], str]) -> str:
    """Return the text without keys, or of a long one the beginning.

    Only the beginning is redacted, because that takes time for each character. The part that is cut off is as
    long as a key, so no part of a key remains.
    """
    if len(text) <= characters + KEY_CHARACTERS:
        return redact(text)
    return f"{redact(text[: characters + KEY_CHARACTERS])[:-KEY_CHARACTERS]}…"


def is_glob(text: str) -> bool:
    return "*" in text or "?" in text


def compiled_glob(glob: str) -> re.Pattern[str]:
    """Return the pattern of a glob: `*` is any characters, also slashes, and `?` is one.

    It is case-sensitive, and takes no exponential time to match.
    """
    # fnmatch's sets of characters, in brackets, aren't supported.
    return re.compile(translate(glob.replace("[", "[[]")))
