"""What the gateway costs, beside what one would use instead: all of them started, asked and ended here.

    python -m tests.bench                     the first table of docs/performance.md
    python -m tests.bench --growth            how cost grows with streams, bodies, readers and networks
    python -m tests.bench --memory            idle, with 1,000 streams, and a minute later
    python -m tests.bench --worst             how long others wait beside the worst requests
    python -m tests.bench --pairs --rounds 9  what keys' limits and the line before the GPU add to a request;
                                              --base FOLDER compares with another version's code

Everything is on 127.0.0.1. The targets have a core of their own, on which one at a time has something to do;
the fake LM Studio behind it and the load in front of it share another. Where other things go on too, believe
the ratios, and take more rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from . import tables, wrk
from .figures import Figures, median
from .growth import Growth, all_growth
from .measuring import SIDES, Subject, settle, warm
from .memory import TARGETS as WITH_MEMORY
from .memory import Memory, memories, memory
from .pairs import Paired, pairs
from .place import Place, placed
from .processes import CannotStart
from .targets import TARGETS, Target
from .worst import worst

INTERRUPTED = 130
PACKAGES = "nginx-light haproxy wrk"


class Results(Struct, frozen=True, omit_defaults=True):
    """What is printed for programs."""

    machine: str
    targets: dict[str, Figures] = {}
    left_out: dict[str, str] = {}
    growth: list[Growth] = []
    memory: list[Memory] = []
    paired: list[Paired] = []


class Bench:
    """One run. What comes of it is printed as it comes; on standard error if the results go to a program."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.results = Results(tables.machine())
        self.rounds: dict[str, list[Figures]] = {}
        self._failed = False

    async def run(self) -> int:
        """Return the exit status."""
        # As Ctrl-C does: everything that was started is ended.
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        options = self._options
        async with placed() as place:
            if options.growth:
                await self._grow(place)
            if options.memory:
                await self._weigh(place)
            if options.worst:
                self.results.growth.append(await worst(place, self._say))
            if options.pairs:
                found = await pairs(place, options.base, options.rounds, options.requests, self._say)
                self.results.paired.extend(found)
            if not (options.growth or options.memory or options.worst or options.pairs):
                await self._compare(place)
        self._print()
        return 1 if self._failed else 0

    async def _grow(self, place: Place) -> None:
        async for growth in all_growth(place, self._options.seconds):
            self.results.growth.append(growth)
            self._say(growth.title)

    async def _weigh(self, place: Place) -> None:
        for target in self._present(WITH_MEMORY):
            self._say(f"{target.title}: a minute and more")
            with self._failing(target):
                self.results.memory.append(await memory(place, target, self._options.seconds))

    async def _compare(self, place: Place) -> None:
        """Look at each side of all targets, one after the other, so that the machine is the same for them."""
        async with AsyncExitStack() as stack:
            subjects: list[Subject] = []
            for target in self._present(["direct", *self._options.targets]):
                self._say(f"{target.title} is started")
                with self._failing(target):
                    running = await stack.enter_async_context(target.start(place))
                    subjects.append(Subject(place, target, running))
                    await warm(running)
            for count in range(self._options.rounds):
                for side in SIDES:
                    self._say(f"round {count + 1} of {self._options.rounds}: {side}")
                    for subject in subjects:
                        if subject.target.name not in self.results.left_out:
                            with self._failing(subject.target):
                                await settle(subjects)
                                await subject.look(side, self._options.seconds)
            for subject in subjects:
                if subject.target.name not in self.results.left_out:
                    self.rounds[subject.target.name] = subject.rounds()
        self.results.targets.update({name: median(rounds) for name, rounds in self.rounds.items()})

    @contextmanager
    def _failing(self, target: Target) -> Iterator[None]:
        """Leave the target out if it fails inside."""
        try:
            yield
        except (CannotStart, wrk.Failed, TimeoutError) as exc:
            self._failed = True
            self.results.left_out[target.name] = f"{target.title} failed: {exc or 'it was too slow'}"

    def _present(self, names: Sequence[str]) -> list[Target]:
        """Return the targets to measure; those that aren't installed are skipped, with a message."""
        present = []
        for name in dict.fromkeys(names):
            target = TARGETS[name]
            if missing := target.missing():
                self.results.left_out[name] = f"{target.title} is left out: there is no {', '.join(missing)}."
            else:
                present.append(target)
        return present

    def _say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    def _print(self) -> None:
        results = self.results
        if self._options.json:
            print(msgspec.json.format(msgspec.json.encode(results)).decode())
            return
        parts = [f"Measured on {results.machine}."]
        if results.targets:
            compared = list(results.targets.values())
            parts += [tables.comparison(compared), tables.NOTES, tables.ratios(self.rounds)]
        parts += [str(growth) for growth in results.growth]
        parts += [memories(results.memory)] if results.memory else []
        parts += [str(paired) for paired in results.paired]
        parts += results.left_out.values()
        print("\n\n".join(part for part in parts if part))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = [target.name for target in TARGETS.values() if target.by_default]
    parser.add_argument(
        "--seconds", type=float, default=3, help="how long to look at each side of a target (3)"
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often; medians are shown (1)")
    parser.add_argument(
        "--targets",
        type=lambda text: text.split(","),
        default=usual,
        metavar="A,B,…",
        help=f"some of {', '.join(TARGETS)}; without it {', '.join(usual)}",
    )
    parser.add_argument("--growth", action="store_true", help="how the gateway's cost grows, instead")
    parser.add_argument("--memory", action="store_true", help="the gateway's memory, instead")
    parser.add_argument("--worst", action="store_true", help="waits beside the worst requests, instead")
    parser.add_argument("--pairs", action="store_true", help="what limits and the line add, instead")
    parser.add_argument(
        "--requests", type=int, default=2000, help="with --pairs: to each gateway in each round (2000)"
    )
    parser.add_argument(
        "--base", type=Path, metavar="FOLDER", help="with --pairs: another version's code, for the first row"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser


def _missing(options: argparse.Namespace) -> str | None:
    """Return what keeps a run from beginning."""
    if sys.platform != "linux":
        return "This needs Linux, whose accounts of processor time it reads."
    if unknown := [name for name in options.targets if name not in TARGETS]:
        return f"There is no target {', '.join(unknown)}; there are {', '.join(TARGETS)}."
    if not options.pairs and shutil.which("wrk") is None:
        return f"There is no wrk, which makes the requests: apt-get install {PACKAGES}"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if missing := _missing(options):
        print(missing, file=sys.stderr)
        return 2
    # Each stream takes a descriptor here, and two in the target.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        return uvloop.run(Bench(options).run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
