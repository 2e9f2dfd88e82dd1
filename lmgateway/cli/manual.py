"""config.example.toml, the configuration's manual, as a template for `lmgateway init`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby

from ..settings import SETTINGS, paths
from . import shipped

NAME = "config.example.toml"

CONTAINS_KEY = "It contains the key: don't share this file."
_HEADER = f"""\
# lmgateway's configuration, written by `lmgateway init`. {CONTAINS_KEY}
#
# A line that begins with "#name = " shows a setting's default. To change it, remove the "#". The environment
# variable named behind a setting sets it too, also from a .env file, and overrides this file. The command
# line (--set server.port=9000) overrides both. `lmgateway check` shows every setting in force and where its
# value comes from.
"""
_TABLE = re.compile(r"\[(\w+)\]")
_SETTING = re.compile(r"#(\w+) = ")


def read() -> str:
    """Return the text of config.example.toml."""
    return shipped.path(NAME).read_text("utf-8")


def fill(manual: str, literals: Mapping[str, str]) -> str:
    """Return the manual with these settings uncommented and set, and everything else unchanged.

    `literals` are TOML values by the settings' paths. Named tables are appended. Raises LookupError for a
    setting that the manual doesn't have.
    """
    _, _, body = manual.partition("\n\n")
    left = {path: literal for path, literal in literals.items() if path in SETTINGS}
    named = {path: literal for path, literal in literals.items() if path not in SETTINGS}
    table, lines = "", []
    for line in body.splitlines():
        if match := _TABLE.fullmatch(line):
            table = f"{match[1]}."
        elif match := _SETTING.match(line):
            path = table + match[1]
            if path in left:
                lines.append(f"{match[1]} = {left.pop(path)}")
                continue
        lines.append(line)
    if left:
        raise LookupError(f"{NAME} doesn't show {', '.join(left)}")
    return "\n".join((_HEADER, *lines, *_named_tables(named), ""))


def _named_tables(literals: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of tables whose names the user chose, such as [models.KEY]."""
    by_path = sorted((paths.parse(path), literal) for path, literal in literals.items())
    for table, settings in groupby(by_path, lambda item: item[0][:2]):
        yield f"\n[{paths.write(table)}]"
        for path, literal in settings:
            yield f"{paths.write(path[2:])} = {literal}"
