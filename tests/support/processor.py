"""The processor time of a call, corrected for how fast this machine is at the moment."""

from __future__ import annotations

import time
from collections.abc import Callable

# What the reference loop takes on the machine that the tests' bounds are for.
REFERENCE_SECONDS = 0.01
RUNS = 3


def processor_seconds(work: Callable[[], object]) -> float:
    """Return what a call takes, in seconds of the machine on which the reference loop takes 10 ms.

    The shortest of three runs: in one of them the garbage collector may walk the heap of the other tests. A
    busy machine takes two or three times as long, for the loop as well.
    """
    return min(_timed(work) / (_timed(_reference) / REFERENCE_SECONDS) for _ in range(RUNS))


def _timed(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _reference() -> None:
    sum(number * number for number in range(200_000))
