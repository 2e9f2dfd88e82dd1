"""A source of settings, and how far it is trusted with secrets."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

from msgspec import Struct


class Trust(IntEnum):
    """Who chose a source, the least trusted first. It isn't the order in which values override each other.

    `.env` overrides the TOML file, but a file that the user or the administrator chose is trusted more: files
    in the current folder apply to every user who enters that folder, and any user may have put them there.
    """

    FOLDER = 1
    """`./config.toml`."""
    DOTENV = 2
    """`./.env`, and the file that it names."""
    USER = 3
    """The environment, the credentials, the file that the environment names, and the machine's own file."""
    COMMAND = 4
    """The command line, the file that it names, and the program's defaults."""


class Source(Struct, frozen=True):
    """`trust` counts for the places that this source names, `secrecy` for the secrets in it.

    They differ for a file elsewhere to which the current folder leads: the folder chooses the file, but its
    secrets aren't the folder's.
    """

    name: str
    trust: Trust
    secrecy: Trust


DEFAULTS = Source("default", Trust.COMMAND, Trust.COMMAND)
COMMAND_LINE = Source("command line", Trust.COMMAND, Trust.COMMAND)
ENVIRONMENT = Source("environment", Trust.USER, Trust.USER)
CREDENTIALS = Source("credential", Trust.USER, Trust.USER)


def file_source(path: Path, trust: Trust) -> Source:
    """Return the source of a file. A weakly trusted one that is a link, or in another folder, is secret."""
    is_here = path.resolve().parent == Path.cwd().resolve()
    return Source(str(path), trust, trust if trust >= Trust.USER or is_here else Trust.COMMAND)
