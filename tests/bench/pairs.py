"""What the limits of keys and the line before the GPU add to a request's processor time.

The gateways run side by side, and the same requests go to each in turn. The figure of a round is compared
with that of the one before in the same round, so that what slows the machine down for a while slows both.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from .asking import warm_up
from .gateway import MANY_SLOTS, everything_on
from .place import Place, Running
from .wire import chat

CONNECTIONS = 8
_WARM_REQUESTS = 1000
_NO_LINE = "[queue]\nenabled = false\n"


class Side(NamedTuple):
    """`folder` has the gateway's code. It may be an older one, which knows no settings of the line."""

    title: str
    folder: Path | None
    settings: str
    is_named: bool


class Paired(Struct, frozen=True):
    """The median of processor time per request, and the quartiles of its ratio to the side before."""

    title: str
    cpu_us: float
    ratios: tuple[float, ...] = ()

    def __str__(self) -> str:
        shown = f"{self.title}: {self.cpu_us:.1f} us per request"
        if not self.ratios:
            return shown
        low, middle, high = self.ratios
        return f"{shown}, {middle:.3f} of the one before (quartiles {low:.3f} and {high:.3f})"


def sides(base: Path | None) -> Sequence[Side]:
    """Return what is compared; `base` is the folder of another version's code, None for this one's."""
    return (
        Side("one configured key", base, "" if base else _NO_LINE, is_named=False),
        Side("a named key with limits, the ledger", None, _NO_LINE, is_named=True),
        Side("the same in line before the GPU", None, MANY_SLOTS, is_named=True),
    )


async def pairs(
    place: Place, base: Path | None, rounds: int, requests: int, say: Callable[[str], None]
) -> list[Paired]:
    """Send so many requests to each side in each round, and compare their processor times."""
    async with AsyncExitStack() as stack:
        running: dict[str, Running] = {}
        for side in sides(base):
            further = {"PYTHONPATH": str(side.folder.absolute())} if side.folder else {}
            gateway = everything_on(place, further=further, settings=side.settings, is_named=side.is_named)
            running[side.title] = await stack.enter_async_context(gateway)
            await _ask(running[side.title], _WARM_REQUESTS)
        spent: dict[str, list[float]] = {title: [] for title in running}
        for count in range(rounds):
            say(f"round {count + 1} of {rounds}")
            for title, one in running.items():
                spent[title].append(await _cpu_us(place, one, requests))
    return compare(spent)


def compare(spent: Mapping[str, Sequence[float]]) -> list[Paired]:
    """Return what the rounds of each side say, each beside the side before."""
    before: Sequence[float] | None = None
    paired = []
    for title, figures in spent.items():
        ratios = [] if before is None else [now / then for now, then in zip(figures, before, strict=True)]
        quartiles = tuple(statistics.quantiles(ratios, n=4)) if len(ratios) > 1 else (*ratios,) * 3
        paired.append(Paired(title, statistics.median(figures), quartiles))
        before = figures
    return paired


async def _cpu_us(place: Place, running: Running, requests: int) -> float:
    accounts = running.accounts(place)
    before = accounts.spent()
    await _ask(running, requests)
    await asyncio.sleep(0.1)  # the last batches of events, counts and log lines
    return (accounts.spent() - before).target * 1e6 / requests


async def _ask(running: Running, requests: int) -> None:
    door = running.door
    await warm_up(door.port, door.post(chat()), requests=requests, connections=CONNECTIONS)
