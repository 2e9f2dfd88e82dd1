"""The results of checks."""

from __future__ import annotations

from typing import Literal, Self

from msgspec import structs

from ...config import Config
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

    def of_box(self, box: str, config: Config) -> Self:
        """Return it with the box's name in front, if the configuration names boxes."""
        return structs.replace(self, message=f"Box {box}: {self.message}") if config.boxes else self


class Report(Message, frozen=True):
    """The output of `--json`. `version` is the installed lmgateway's."""

    version: str
    findings: tuple[Finding, ...]
