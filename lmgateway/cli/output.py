"""Everything that the commands print. Parts of it come from LM Studio, the gateway, or other programs.

No character of it acts on the terminal: each that isn't printable is shown as an escape.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple, TextIO

import msgspec

from ..text import printable, replace_unprintable

# ECMA-48. In place of the lines before, and not after clearing all of them, which would flicker.
_HOME, _CLEAR_REST_OF_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


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


def say_table(rows: Sequence[Sequence[str]], *, numbers: Container[int] = ()) -> None:
    """Print the rows in aligned columns; `numbers` are the indexes of those with numbers."""
    for line in aligned(rows, numbers=numbers):
        say(line)


def aligned(rows: Sequence[Sequence[str]], *, numbers: Container[int] = ()) -> Iterator[str]:
    """Yield the lines of a table, as say_table prints it."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = zip(row, widths, strict=True)
        yield "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(cells)
        ).rstrip()


def is_terminal() -> bool:
    return sys.stdout.isatty()


def show_screen(lines: Sequence[str]) -> None:
    """Show the lines on the terminal in place of all others; those that don't fit are left out."""
    size = shutil.get_terminal_size()
    room = size.lines - 1
    if len(lines) > room:
        lines = [*lines[: room - 1], f"{len(lines) - room + 1:,} more lines don't fit on the terminal."]
    shown = "".join(f"{printable(line)[: size.columns]}{_CLEAR_REST_OF_LINE}\n" for line in lines)
    print(_HOME + shown + _CLEAR_BELOW, end="", flush=True)


def _shown(word: str | Coloured, stream: TextIO) -> str:
    text = printable(str(word))
    if isinstance(word, Coloured) and stream.isatty():
        return f"\x1b[{word.colour}m{text}\x1b[0m"
    return text


def _escape_in_json(character: str) -> str:
    return json.dumps(character)[1:-1]
