"""The commands of a parser, and of the parsers below it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

# Of the help, which Python 3.14 colours.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


class Parser(argparse.ArgumentParser):
    """A parser that lists its commands and options. `commands` is empty for one that has none.

    `usual_command` is the one that is meant if none is given, "" if one must be.
    """

    commands: Mapping[str, Parser] = {}
    usual_command = ""

    def add_subparsers(self, **options: Any) -> Commands:
        commands: Commands = super().add_subparsers(**options)
        self.commands = commands.choices
        return commands

    def error(self, message: str) -> NoReturn:
        """As argparse, and for a missing model's name with the command that lists them."""
        hint = "; `lmgateway models` lists them" if message.endswith("required: model") else ""
        super().error(f"{message}{hint}")

    def completed(self, arguments: Sequence[str]) -> Sequence[str]:
        """Return the arguments with the usual command where they name none."""
        first = arguments[0] if arguments else ""
        if first in self.commands:
            return [first, *self.commands[first].completed(arguments[1:])]
        names_none = not first or (first.startswith("-") and first not in {"-h", "--help"})
        return [self.usual_command, *arguments] if self.usual_command and names_none else arguments

    def options(self) -> set[str]:
        return {*_OPTION.findall(_COLOUR.sub("", self.format_help()))}


# Of Parser. In quotes, because the class can't be subscripted at run time.
Commands: TypeAlias = "argparse._SubParsersAction[Any]"


def add_command(
    commands: Commands, name: str, *, summary: str, parents: Sequence[argparse.ArgumentParser] = ()
) -> Parser:
    description = f"{summary[0].upper()}{summary[1:]}."
    parser: Parser = commands.add_parser(name, parents=parents, help=summary, description=description)
    return parser
