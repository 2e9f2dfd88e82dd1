"""`lmgateway service uninstall`: stops and removes the service, and keeps its settings and its state."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from functools import partial

from ..output import say
from . import elsewhere, places, program, rights, units
from .places import Places
from .steps import Step, carry_out
from .systemd import Systemd


def uninstall(options: argparse.Namespace) -> int:
    """Raises ServiceFailed."""
    where = places.chosen(options)
    systemd = Systemd(where.is_user) if elsewhere.has_systemd(options.root) else None
    is_installed = any(_steps(where, systemd, purge=False))
    if not options.dry_run and (is_installed or options.purge):
        rights.check(where, "uninstall", options.root)
    steps = list(_steps(where, systemd, purge=options.purge))
    if not steps:
        say("There is nothing to remove: the service isn't installed.")
        if sys.platform != "linux":
            say(elsewhere.remark())
    carry_out(steps, dry_run=options.dry_run)
    kept = {"the settings and the key": where.folder, "the state": where.state}
    shown = [f"{what} in {place}" for what, place in kept.items() if place.exists() and not options.purge]
    if shown:
        say(f"Kept {' and '.join(shown)}. To remove {'them' if len(shown) > 1 else 'it'} too: --purge")
    if program.is_the_copy(where):
        say(f"This command is the service's program; remove it with: rm -r {where.program}")
    return 0


def _steps(where: Places, systemd: Systemd | None, *, purge: bool) -> Iterator[Step]:
    """Without systemd, only the files are removed."""
    names = [name for name in reversed(where.units) if (where.unit_folder / name).is_file()]
    if names and systemd is not None:
        yield Step(
            f"stop and disable {' and '.join(names)}; running requests may take half a minute to end",
            partial(systemd.run, "disable", "--now", *names),
        )
    removed = list(units.removing(where))
    yield from removed
    if removed and systemd is not None:
        yield Step("reload systemd", partial(systemd.run, "daemon-reload"))
    yield from program.removing(where)
    if purge:
        yield from _purging(where)


def _purging(where: Places) -> Iterator[Step]:
    # The state of a user that exists only while the service runs is there, and a link leads to it.
    private = () if where.is_user else (where.state.parent / "private" / where.state.name,)
    for place in (where.folder, where.state, *private):
        if place.is_symlink():
            yield Step(f"remove {place}", place.unlink)
        elif place.exists():
            yield Step(f"remove {place}", partial(shutil.rmtree, place))
