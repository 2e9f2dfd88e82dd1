"""The changes that a command makes to the machine, which `--dry-run` only prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from ..failures import RequestFailed
from ..output import say


class ServiceFailed(RequestFailed):
    """The service can't be installed, started or removed; the message says why, and what to do."""


class Step(Struct, frozen=True):
    """`text` begins with a verb, such as "write /etc/lmgateway/config.toml"."""

    text: str
    act: Callable[[], object]


def carry_out(steps: Iterable[Step], *, dry_run: bool) -> None:
    """Print each step, and then do it unless `dry_run` is set."""
    for step in steps:
        say(f"Would {step.text}" if dry_run else f"{step.text[0].upper()}{step.text[1:]}")
        if not dry_run:
            step.act()
