"""What the operating system says that processes used: processor time and memory."""

from __future__ import annotations

import resource
import time

import psutil
from msgspec import Struct


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process, user and system, of all its threads.

    The same account as utime + stime in /proc/PID/stat, in nanoseconds instead of ticks of 10 ms; the number
    is what clock_getcpuclockid(3) makes of a process id.
    """
    return time.clock_gettime(~pid << 3 | 2)


def machine_seconds() -> float:
    """Return the processor time of everything on this machine, and what its host took from it."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


class Account:
    """A process with its children, such as nginx's master and worker."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def _all(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(process.pid) for process in self._all())

    def resident_bytes(self) -> int:
        return sum(process.memory_info().rss for process in self._all())


class Spent(Struct, frozen=True):
    """Processor seconds of each who took part, within `seconds` of time; `all` is the whole machine's."""

    seconds: float
    target: float
    studio: float
    load: float
    all: float

    def __sub__(self, earlier: Spent) -> Spent:
        return Spent(
            self.seconds - earlier.seconds,
            self.target - earlier.target,
            self.studio - earlier.studio,
            self.load - earlier.load,
            self.all - earlier.all,
        )


class Accounts:
    """Everybody's: the target's (None where LM Studio is asked directly), the fake LM Studio's, ours."""

    def __init__(self, target: Account | None, studio: Account) -> None:
        self._target, self._studio = target, studio

    def spent(self) -> Spent:
        """Return what was spent so far: ours is this process's and that of the children that have ended."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Spent(
            seconds=time.monotonic(),
            target=self._target.cpu_seconds() if self._target else 0.0,
            studio=self._studio.cpu_seconds(),
            load=time.process_time() + children.ru_utime + children.ru_stime,
            all=machine_seconds(),
        )

    def resident_bytes(self) -> int:
        """Return the target's memory."""
        return self._target.resident_bytes() if self._target else 0
