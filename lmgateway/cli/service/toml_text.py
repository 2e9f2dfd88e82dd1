"""Changes single settings in a TOML file's text, and leaves its comments and its layout."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from ...errors import ConfigError
from ...settings import paths

# Of a table with any name, but no array of tables.
_TABLE = re.compile(r"\s*\[([^\[\]#]+)\]\s*(?:#.*)?")


class Change(Struct, frozen=True):
    """A setting's new line, and its TOML value. Without one, the line is a comment in the setting's place."""

    path: str
    line: str
    literal: str | None = None


def set_to(path: str, literal: str) -> Change:
    return Change(path, f"{paths.parse(path)[-1]} = {literal}", literal)


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
            table, setting = _split(change.path)
            raise ConfigError(
                [f"{name}: write {change.path} below [{table}], on a line of its own: {setting} = VALUE"]
            )
    return text


def _changed(tables: dict[str, Any], change: Change) -> dict[str, Any] | None:
    """Return the file's content after the change; None if there is nothing to change."""
    *outer, setting = paths.parse(change.path)
    table = tables
    for name in outer:
        table = table.setdefault(name, {})
    if change.literal is None:
        return tables if table.pop(setting, None) is not None else None
    table[setting] = tomllib.loads(f"value = {change.literal}")["value"]
    return tables


def _with_line(text: str, change: Change) -> str:
    table, setting = _split(change.path)
    lines, here, header = text.splitlines(), "", -1
    for number, line in enumerate(lines):
        if match := _TABLE.fullmatch(line):
            here = _written(match[1])
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


def _split(path: str) -> tuple[str, str]:
    """Return the table's path and the setting's name."""
    *table, setting = paths.parse(path)
    return paths.write(table), setting


def _written(header: str) -> str:
    """Return a header's path in the form of the settings' paths."""
    try:
        return paths.write(paths.parse(header))
    except ValueError:
        return header


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
