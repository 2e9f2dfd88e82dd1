"""The benchmark's program. To be imported when the clock is installed."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import msgspec
from msgspec import Struct

from tests.bench.tables import machine

from .cases import CASES
from .fast_clock import FastClock
from .figures import Figure, percent, rows
from .picture import draw
from .scene import Outcome, Scene, play

MOST_DISAGREEMENT_PERCENT = 1.0


class Results(Struct, frozen=True):
    """What is printed for programs."""

    machine: str
    figures: list[Figure]
    broken: list[str]


class Program:
    """One run. Progress is printed on standard error."""

    def __init__(self, options: argparse.Namespace, clock: FastClock) -> None:
        self._options = options
        self._clock = clock
        self._disagreements: list[float] = []

    async def run(self) -> int:
        """Return the exit status."""
        options = self._options
        if options.picture is not None:
            options.picture.write_text(await draw(self._play, options.minutes * 60))
            return 0
        names = options.cases or list(CASES)
        if unknown := [name for name in names if name not in CASES]:
            print(f"There is no case {', '.join(unknown)}; there are {', '.join(CASES)}.", file=sys.stderr)
            return 2
        figures = []
        for name in names:
            print(f"{name}: {CASES[name].__doc__}", file=sys.stderr, flush=True)
            figures += [figure async for figure in CASES[name](self._play, options.minutes * 60)]
        if self._disagreements:
            figures.append(
                percent(
                    "all",
                    "how far LM Studio's seconds of a key and those of `/debug/queue` are apart, at most",
                    max(self._disagreements),
                    most=MOST_DISAGREEMENT_PERCENT,
                )
            )
        broken = [figure.what for figure in figures if not figure.is_met]
        if options.json:
            results = Results(machine(), figures, broken)
            print(msgspec.json.format(msgspec.json.encode(results)).decode())
        else:
            print(f"Measured on {machine()}.\n\n{rows(figures)}")
        for what in broken:
            print(f"Broken: {what}", file=sys.stderr)
        return 1 if broken else 0

    async def _play(self, scene: Scene) -> Outcome:
        outcome = await play(replace(scene, seed=self._options.seed), self._clock)
        # The gateway's accounts have the loads too, which LM Studio does for nobody in particular.
        if scene.has_line and scene.load_seconds is None:
            self._disagreements.append(outcome.disagreement)
        return outcome
