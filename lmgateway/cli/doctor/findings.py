"""What an examination finds."""

from __future__ import annotations

from typing import Literal, Self

from ...schema.common import Message

Level = Literal["ok", "note", "warning", "problem"]


class Finding(Message, frozen=True):
    """One sentence about what is, and one or more lines about what to do, if anything is to be done.

    `ok`: as it should be. `note`: worth knowing. `warning`: works, but not as somebody probably means it to.
    `problem`: something doesn't work.
    """

    check: str
    level: Level
    message: str
    remedy: str = ""

    @classmethod
    def ok(cls, check: str, message: str) -> Self:
        return cls(check, "ok", message)

    @classmethod
    def note(cls, check: str, message: str, remedy: str = "") -> Self:
        return cls(check, "note", message, remedy)

    @classmethod
    def warning(cls, check: str, message: str, remedy: str) -> Self:
        return cls(check, "warning", message, remedy)

    @classmethod
    def problem(cls, check: str, message: str, remedy: str = "") -> Self:
        return cls(check, "problem", message, remedy)


class Report(Message, frozen=True):
    """What `--json` prints. `version` is the installed gateway's."""

    version: str
    findings: tuple[Finding, ...]
