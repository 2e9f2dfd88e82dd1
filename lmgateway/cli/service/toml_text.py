"""Changes single settings in a TOML file's text, and leaves its comments and its layout."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from ...errors import ConfigError

_TABLE = re.compile(r"\s*\[\s*([\w-]+)\s*\]\s*(?:#.*)?")


class Change(Struct, frozen=True):
    """A setting's new line, and its TOML value. Without one, the line is a comment in the setting's place."""

    path: str
    line: str
    literal: str | None = None


def set_to(path: str, literal: str) -> Change:
    return Change(path, f"{path.rpartition('.')[2]} = {literal}", literal)


def edit(text: str, changes: Iterable[Change], name: str) -> str:
    """Return the text with these changes. Raises ConfigError, with the file's name, if one can't be made."""
    for change in changes:
        wanted = _changed(tomllib.loads(text), change)
        if wanted is None:
            continue
        text = _with_line(text, change)
        try:
            is_right = tomllib.loads(text) == wanted
        except ValueError:
            is_right = False
        if not is_right:
            table, _, setting = change.path.rpartition(".")
            raise ConfigError(
                [f"{name}: write {change.path} below [{table}], on a line of its own: {setting} = VALUE"]
            )
    return text


def _changed(tables: dict[str, Any], change: Change) -> dict[str, Any] | None:
    """Return the file's content after the change; None if there is nothing to change."""
    *outer, setting = change.path.split(".")
    table = tables
    for name in outer:
        table = table.setdefault(name, {})
    if change.literal is None:
        return tables if table.pop(setting, None) is not None else None
    table[setting] = tomllib.loads(f"value = {change.literal}")["value"]
    return tables


def _with_line(text: str, change: Change) -> str:
    table, _, setting = change.path.rpartition(".")
    lines, here, header = text.splitlines(), "", -1
    for number, line in enumerate(lines):
        if match := _TABLE.fullmatch(line):
            here = match[1]
            header = number if here == table else header
        elif line.lstrip().startswith("["):
            here = line
        elif here == table and re.match(rf"\s*{re.escape(setting)}\s*=", line):
            lines[number] = change.line
            return _joined(lines)
    if table and header < 0:
        lines += ["", f"[{table}]", change.line]
    else:
        lines.insert(header + 1, change.line)
    return _joined(lines)


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
