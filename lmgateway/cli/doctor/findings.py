"""The results of checks."""

from __future__ import annotations

from typing import Literal, Self

from ...schema.common import Message

Level = Literal["ok", "note", "warning", "problem"]


class Finding(Message, frozen=True):
    """The result of one check in a sentence, and one or more lines that say what to do, if anything.

    `ok`: correct. `note`: worth knowing. `warning`: works, but probably not as intended. `problem`: doesn't
    work.
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
    """The output of `--json`. `version` is the installed lmgateway's."""

    version: str
    findings: tuple[Finding, ...]
