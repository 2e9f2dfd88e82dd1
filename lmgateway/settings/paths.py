"""The path of a setting in TOML's syntax: `server.port`, `models."qwen/qwen3-8b".load.seed`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any

SettingPath = tuple[str, ...]

# A bare key (https://toml.io/en/v1.0.0#keys); any other is quoted.
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def write(path: Iterable[str]) -> str:
    """Return the path as a dotted key: one line of printable characters."""
    return ".".join(name if _BARE.match(name) else f'"{"".join(map(_escaped, name))}"' for name in path)


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def parse(text: str) -> SettingPath:
    """Return the names in a dotted key. Raises ValueError."""
    # A line break would let a whole document pass for a key.
    if "\n" in text:
        raise ValueError("a key is one line")
    value: Any = tomllib.loads(f"{text} = 0")
    path = []
    while isinstance(value, dict):
        [(name, value)] = value.items()
        path.append(name)
    return tuple(path)


def split_assignment(text: str) -> tuple[SettingPath, str]:
    """Split PATH=VALUE at the first equals sign that is not part of a quoted name. Raises ValueError."""
    end = text.find("=")
    while end >= 0:
        try:
            return parse(text[:end]), text[end + 1 :]
        except ValueError:
            end = text.find("=", end + 1)
    raise ValueError("no PATH=VALUE")
