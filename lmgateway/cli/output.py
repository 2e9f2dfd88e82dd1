"""Everything that the commands print. Parts of it come from LM Studio, the gateway, or other programs.

No character of it acts on the terminal: each that isn't printable is shown as an escape.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from locale import getencoding
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
    """Show this text on stderr in place of the line before the cursor; what doesn't fit is left out."""
    shown = printable(text)[: shutil.get_terminal_size().columns - 1]
    print(f"\r{shown}{_CLEAR_REST_OF_LINE}", end="", file=sys.stderr, flush=True)


def say_piece(piece: str | Coloured, *, error: bool = False) -> None:
    """Print a piece of a text of several lines. A pipe or a file gets it unchanged."""
    stream = sys.stderr if error else sys.stdout
    if not stream.isatty():
        print(piece, end="", file=stream, flush=True)
        return
    lines = str(piece).replace("\r", "").split("\n")
    shown = "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)
    if isinstance(piece, Coloured):
        shown = _coloured(shown, piece.colour)
    print(shown, end="", file=stream, flush=True)


def prepare_text_output() -> None:
    """Have a text of any characters printed: UTF-8 for a pipe, whatever the system's encoding is."""
    if isinstance(sys.stdout, TextIOWrapper):
        encoding = sys.stdout.encoding if is_terminal() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")


def read_standard_input() -> str:
    """Return all of the standard input, in UTF-8, or else in the system's encoding."""
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(getencoding(), "replace")


def ask_line(prompt: str) -> str | None:
    """Return a line that is typed on the terminal, None at its end. Ctrl-C raises KeyboardInterrupt."""
    with suppress(ImportError):
        import_module("readline")  # which input() uses for the keys that edit a line; Windows has its own
    try:
        return input(prompt)
    except (EOFError, KeyboardInterrupt) as exc:
        say(error=True)
        if isinstance(exc, KeyboardInterrupt):
            raise
        return None


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
    return _coloured(text, word.colour) if isinstance(word, Coloured) and stream.isatty() else text


def _coloured(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m"


def _escape_in_json(character: str) -> str:
    return json.dumps(character)[1:-1]
