"""Whether the line before the GPU keeps its promises: figures, each with its target.

    python -m tests.bench.fairness                                   all of them, as a table
    python -m tests.bench.fairness --cases equal,shares --json       some of them, for a program
    python -m tests.bench.fairness --picture docs/fair-line.svg      two keys' shares over time

The gateway is the real one, before the simulated LM Studio, with HTTP between them and the clients. All are
in one process, whose clock skips the time in which nothing happens: half an hour takes about ten seconds of
processor time. Only `saturated` runs by the real clock, with the gateway as a process of its own, because
what that computes must count.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from .fast_clock import FastClock

DEFAULT_MINUTES = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 if a promise is broken."""
    options = _parser().parse_args(arguments)
    clock = FastClock()
    clock.install()
    # What is imported from here on has the clock.
    from .program import Program

    with asyncio.Runner(loop_factory=clock.loop) as runner:
        return runner.run(Program(options, clock).run())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.fairness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cases",
        type=lambda text: text.split(","),
        metavar="A,B,…",
        help=(
            "some of equal, shares, lengths, silence, retries, background, swaps, loads, guest, saturated; "
            "without it all"
        ),
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=DEFAULT_MINUTES,
        help=f"how long each one runs, by its own clock ({DEFAULT_MINUTES:g})",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the lengths of answers (1)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write a picture (SVG) instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
