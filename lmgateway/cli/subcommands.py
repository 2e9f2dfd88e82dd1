"""The commands of a parser."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TypeAlias

# In quotes, because the class can't be subscripted at run time.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands, name: str, *, summary: str, parents: Sequence[argparse.ArgumentParser] = ()
) -> argparse.ArgumentParser:
    description = f"{summary[0].upper()}{summary[1:]}."
    return commands.add_parser(name, parents=parents, help=summary, description=description)
