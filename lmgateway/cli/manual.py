"""config.example.toml: the configuration's manual, with some of its settings filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from itertools import groupby
from pathlib import Path

from ..settings import SETTINGS, paths

NAME = "config.example.toml"

_HEADER = """\
# lmgateway's configuration, made by `lmgateway init`. It holds the key: keep it to yourself.
#
# A line that begins with "#name = " shows a setting's default; take the "#" off and change it. The variable
# named behind each setting does the same from the environment or from a .env file; the command line
# (--set server.port=9000) is stronger than both, and this file is the weakest. `lmgateway check` says what is
# in force and where each value comes from.
"""
_TABLE = re.compile(r"\[(\w+)\]")
_SETTING = re.compile(r"#(\w+) = ")


def read() -> str:
    """Return the manual's text."""
    package = resources.files(__package__.partition(".")[0])
    installed = package / NAME
    # In a copy of the repository it is beside the package; only a wheel has it inside.
    return (installed if installed.is_file() else Path(str(package)).parent / NAME).read_text("utf-8")


def fill(manual: str, literals: Mapping[str, str]) -> str:
    """Return the manual with these settings in force, and everything else as it is.

    `literals` are TOML values by the settings' paths. Named tables are written behind the manual's text.

    Raises LookupError for a setting that the manual doesn't show.
    """
    _, _, body = manual.partition("\n\n")
    left = {path: literal for path, literal in literals.items() if path in SETTINGS}
    named = {path: literal for path, literal in literals.items() if path not in SETTINGS}
    table, lines = "", []
    for line in body.splitlines():
        if found := _TABLE.fullmatch(line):
            table = f"{found[1]}."
        elif found := _SETTING.match(line):
            path = table + found[1]
            if path in left:
                lines.append(f"{found[1]} = {left.pop(path)}")
                continue
        lines.append(line)
    if left:
        raise LookupError(f"{NAME} doesn't show {', '.join(left)}")
    return "\n".join((_HEADER, *lines, *_named_tables(named), ""))


def _named_tables(literals: Mapping[str, str]) -> Iterator[str]:
    """Yield the tables whose names the user chose; the manual has only an example of them."""
    by_path = sorted((paths.parse(path), literal) for path, literal in literals.items())
    for table, settings in groupby(by_path, lambda item: item[0][:2]):
        yield f"\n[{paths.write(table)}]"
        for path, literal in settings:
            yield f"{paths.write(path[2:])} = {literal}"
