"""What the gateway's process is like, looked at again and again, and the figures that come of it."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

import aiohttp
import psutil
from msgspec import Struct

from tests.support.metrics import sums_of

from .client import HEADERS

SAMPLE_SECONDS = 5
METRICS_SECONDS = 10
SLOPE_SECONDS = 60
Number = TypeVar("Number", int, float)


class GatewayGone(Exception):
    """It doesn't answer to /metrics, or there is no such process any more."""


class Sample(Struct, frozen=True, kw_only=True):
    """One look. `ended` are all proxied requests so far; `tasks` is None if the gateway doesn't tell."""

    seconds: float
    resident_mb: float
    descriptors: int
    lag_ms: float
    in_flight: int
    ended: int
    readers: int
    tasks: int | None


class Figure(Struct, Generic[Number], frozen=True, kw_only=True):
    start: Number
    max: Number
    end: Number


class Samples:
    """Everything seen of one process, the first look before the traffic, the last one after it."""

    def __init__(self, pid: int, session: aiohttp.ClientSession, base_url: str) -> None:
        self.all: list[Sample] = []
        self._process = psutil.Process(pid)
        self._session = session
        self._url = f"{base_url}/metrics"
        self._began = asyncio.get_running_loop().time()

    async def take(self) -> Sample:
        """Look once. Raises GatewayGone."""
        try:
            metrics, (resident, descriptors) = await self._metrics(), self._resources()
        except (aiohttp.ClientError, TimeoutError, psutil.Error) as exc:
            raise GatewayGone(repr(exc)) from exc
        tasks = metrics.get("lmgateway_tasks")
        sample = Sample(
            seconds=asyncio.get_running_loop().time() - self._began,
            resident_mb=resident / 1024**2,
            descriptors=descriptors,
            lag_ms=metrics["lmgateway_event_loop_lag_seconds"] * 1000,
            in_flight=int(metrics["lmgateway_in_flight"]),
            ended=int(metrics.get("lmgateway_requests_total", 0)),
            readers=int(metrics["lmgateway_event_subscribers"]),
            tasks=None if tasks is None else int(tasks),
        )
        self.all.append(sample)
        return sample

    def _resources(self) -> tuple[int, int]:
        with self._process.oneshot():
            return self._process.memory_info().rss, self._process.num_fds()

    async def _metrics(self) -> Counter[str]:
        """Return the values of /metrics, each name summed over its labels."""
        patience = aiohttp.ClientTimeout(total=METRICS_SECONDS)
        async with self._session.get(self._url, headers=HEADERS, timeout=patience) as answer:
            answer.raise_for_status()
            return sums_of(await answer.text())

    def figure(self, of: Callable[[Sample], Number]) -> Figure[Number]:
        values = [of(sample) for sample in self.all]
        return Figure(start=values[0], max=max(values), end=values[-1])

    def tasks(self) -> Figure[int] | None:
        if any(sample.tasks is None for sample in self.all):
            return None
        return self.figure(lambda sample: sample.tasks or 0)

    def memory_mb_per_hour(self) -> float | None:
        """The slope of the second half, by least squares; the first half is warming up.

        None of a run that is too short to tell.
        """
        half = self.all[-1].seconds / 2
        if half < SLOPE_SECONDS:
            return None
        late = [sample for sample in self.all if sample.seconds >= half]
        hours, sizes = [sample.seconds / 3600 for sample in late], [sample.resident_mb for sample in late]
        return statistics.linear_regression(hours, sizes).slope
