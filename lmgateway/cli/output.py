"""Everything that the commands print. Parts of it come from LM Studio, the gateway, or other programs.

No character of it acts on the terminal: each that isn't printable is shown as an escape.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import NamedTuple, TextIO

import msgspec

from ..text import printable, replace_unprintable


class Coloured(NamedTuple):
    """A text in a colour, if it is shown on a terminal. `colour` is an SGR parameter such as 31."""

    text: str
    colour: str

    def __str__(self) -> str:
        return self.text


def say(*words: str | Coloured, error: bool = False, end: str = "\n") -> None:
    """Print the words on one line, separated by blanks, to stdout or stderr at once."""
    stream = sys.stderr if error else sys.stdout
    print(*(_shown(word, stream) for word in words), end=end, file=stream, flush=True)


def say_lines(text: str) -> None:
    """Print a text of several lines."""
    for line in text.split("\n"):
        say(line)


def rewrite_line(text: str) -> None:
    """Show this text on stderr in place of the line before the cursor."""
    print(f"\r{printable(text)}", end="", file=sys.stderr, flush=True)


def say_json(value: object, *, indent: int | None = None) -> None:
    """Print the value as JSON, in which characters that aren't printable are escaped."""
    text = json.dumps(msgspec.to_builtins(value), indent=indent, ensure_ascii=False)
    print("\n".join(replace_unprintable(line, _escape_in_json) for line in text.split("\n")), flush=True)


def say_answer(answer: object) -> int:
    """Print a response of the gateway as JSON, and return the exit status."""
    say_json(answer, indent=2)
    return 0


def say_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print the rows in aligned columns."""
    shown = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _shown(word: str | Coloured, stream: TextIO) -> str:
    text = printable(str(word))
    if isinstance(word, Coloured) and stream.isatty():
        return f"\x1b[{word.colour}m{text}\x1b[0m"
    return text


def _escape_in_json(character: str) -> str:
    return json.dumps(character)[1:-1]
