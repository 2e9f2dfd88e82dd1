"""The text of `lmgateway --help`: the commands in groups."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator

from .subcommands import Parser

GROUPS = {
    "First steps": ("demo", "init", "serve", "service"),
    "Daily use": ("chat", "status", "ps", "queue", "usage"),
    "Models": ("models", "load", "cancel", "unload", "activate", "deactivate"),
    "Boxes": ("boxes",),
    "Keys": ("keys",),
    "Diagnosis": ("doctor", "check", "events", "simulate"),
}
_NAME_WIDTH = max(len(name) for names in GROUPS.values() for name in names)
_WIDEST = 110


def overview(parser: Parser) -> str:
    """Return the groups with a line for each of the parser's commands."""
    return "\n".join(_lines(parser)).rstrip()


def _lines(parser: Parser) -> Iterator[str]:
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    for title, names in GROUPS.items():
        yield f"{title}:"
        for name in names:
            if name in parser.commands:
                yield textwrap.fill(
                    parser.commands[name].description or "",
                    width,
                    initial_indent=f"  {name:<{_NAME_WIDTH}}  ",
                    subsequent_indent=" " * (_NAME_WIDTH + 4),
                )
        yield ""
