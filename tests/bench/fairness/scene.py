"""One measurement: clients, the gateway, the simulated LM Studio, and what each of them counted."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from time import monotonic

import aiohttp

from tests.support.gateway import running_gateway
from tests.support.home import QUICK
from tests.support.metrics import sums_of
from tests.support.process import serving
from tests.support.studio import running_studio

from .crowd import MODEL, Client, Crowd, Tally
from .fast_clock import FastClock
from .meter import Meter, MeteredSimulator

OWNER = "a-key-for-the-benchmark-0123456789"
_AS_OWNER = {"Authorization": f"Bearer {OWNER}"}
SAMPLES = 120


@dataclass(frozen=True)
class Scene:
    """`seconds` is how long it runs. With `real`, the clock is, and the gateway is a process of its own.

    Without the line (`queue.enabled = false`) everything waits in LM Studio's own one. With `load_seconds`
    nothing is in memory at first, and the gateway has models loaded, one at a time.
    """

    clients: tuple[Client, ...]
    seconds: float
    slots: int = 4
    has_line: bool = True
    token_seconds: float = 1.0
    real: bool = False
    load_seconds: float | None = None
    seed: int = 1


@dataclass
class Outcome:
    """`seconds` and `gateway_seconds` are those of each key, as LM Studio and the gateway counted them.

    `samples` are the former at even intervals. `waits` are the seconds from a request's sending until LM
    Studio began with it, by key. `longest` is the longest that LM Studio took for a request.
    `free_seconds` is the time in which not all slots were used, `free_while_waiting` the gateway's metric,
    `loading_seconds` the time in which models were loaded, and `cut_off` the number of broken answers.
    """

    took: float
    seconds: Mapping[str, float]
    gateway_seconds: Mapping[str, float]
    samples: list[tuple[float, Mapping[str, float]]]
    waits: dict[str, list[float]]
    longest: float
    free_seconds: float
    free_while_waiting: float
    loading_seconds: float
    cut_off: int
    tally: Tally

    def part(self, key: str) -> float:
        return self.seconds.get(key, 0.0) / sum(self.seconds.values())

    def gateway_part(self, key: str) -> float:
        return self.gateway_seconds.get(key, 0.0) / sum(self.gateway_seconds.values())

    @property
    def loading_share(self) -> float:
        return self.loading_seconds / self.took

    @property
    def disagreement(self) -> float:
        """How far LM Studio's and the gateway's seconds of a key are apart at most, as a part of all."""
        total = sum(self.seconds.values())
        keys = {*self.seconds, *self.gateway_seconds}
        return max(abs(self.seconds.get(k, 0.0) - self.gateway_seconds.get(k, 0.0)) for k in keys) / total

    def longest_wait(self, key: str) -> float:
        return max(self.waits[key])

    def p95_wait(self, key: str) -> float:
        return quantiles(self.waits[key], n=20)[-1]

    def parts_over_time(self, key: str, width: int = 1) -> list[tuple[float, float]]:
        """Return the key's part of each interval of so many samples, with the time at its end."""
        parts = []
        for (_, before), (now, after) in zip(self.samples, self.samples[width:], strict=False):
            passed = sum(after.values()) - sum(before.values())
            own = after.get(key, 0.0) - before.get(key, 0.0)
            parts.append((now, own / passed if passed else 0.0))
        return parts


async def play(scene: Scene, clock: FastClock) -> Outcome:
    """Run a scene. Raises ExceptionGroup if a request fails."""
    meter = Meter(
        token_seconds=scene.token_seconds,
        prompt_tokens_per_second=200 / scene.token_seconds,
        load_seconds=scene.load_seconds or 0.0,
    )
    async with AsyncExitStack() as stack:
        model = MODEL if scene.load_seconds is None else None
        simulator = MeteredSimulator(meter, model=model, slots=scene.slots)
        studio = await stack.enter_async_context(running_studio(simulator))
        base_url = await stack.enter_async_context(_gateway(scene, studio.base_url))
        session = await stack.enter_async_context(aiohttp.ClientSession(base_url, headers=_AS_OWNER))
        crowd = Crowd(base_url, {one.key: await _make_key(session, one) for one in scene.clients}, scene.seed)
        if not scene.real:
            stack.enter_context(clock.fast())
        running = asyncio.create_task(crowd.run(scene.clients))
        try:
            began, samples = monotonic(), [(0.0, meter.of_keys())]
            await _begins(meter)
            simulator.free_slots.restart()
            for number in range(1, SAMPLES + 1):
                await asyncio.sleep(began + scene.seconds * number / SAMPLES - monotonic())
                if running.done():
                    await running
                samples.append((monotonic() - began, meter.of_keys()))
            took, free = monotonic() - began, simulator.free_slots.seconds()
            return Outcome(
                took=took,
                free_seconds=free,
                seconds=meter.of_keys(),
                gateway_seconds=await _gateway_seconds(session),
                samples=samples,
                waits=_waits(crowd.tally, meter),
                longest=max(meter.took.values()),
                free_while_waiting=await _free_while_waiting(session),
                loading_seconds=simulator.ledger.loading_seconds(since=began),
                cut_off=simulator.cut_off,
                tally=crowd.tally,
            )
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def _gateway(scene: Scene, studio_url: str) -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="lmgateway-fairness-") as folder:
        if scene.real:
            environ = {
                "LMSTUDIO_BASE_URL": studio_url,
                "GATEWAY_API_KEY": OWNER,
                "QUEUE_ENABLED": str(scene.has_line).lower(),
                "GATEWAY_DRAIN_SECONDS": "0",
                "LOG_LEVEL": "error",
            }
            options = ("--config", os.devnull)
            async with serving(Path(folder), *options, **environ) as (_, port):
                yield f"http://127.0.0.1:{port}"
        else:
            tables: dict[str, object] = {
                "lmstudio": {"base_url": studio_url, **QUICK},
                "auth": {"api_key": OWNER},
                "queue": {"enabled": scene.has_line, "max_wait_ms": 0, "max_wait_plain_ms": 0},
                "proxy": {"timeout_ms": 0},
                "server": {"state_dir": folder, "drain_seconds": 0},
            }
            async with running_gateway(tables) as gateway:
                yield gateway.base_url


async def _make_key(session: aiohttp.ClientSession, client: Client) -> str:
    settings = {"name": client.key, **client.settings}
    async with session.post("/admin/keys", json=settings, raise_for_status=True) as response:
        return str((await response.json())["key"])


async def _begins(meter: Meter) -> None:
    """Return when LM Studio has something to do."""
    while not meter.began:
        await asyncio.sleep(0.001)


async def _gateway_seconds(session: aiohttp.ClientSession) -> Mapping[str, float]:
    async with session.get("/debug/queue", raise_for_status=True) as response:
        return {row["key"]: row["gpuMs"] / 1000 for row in (await response.json())["keys"]}


async def _free_while_waiting(session: aiohttp.ClientSession) -> float:
    async with session.get("/metrics", raise_for_status=True) as response:
        return sums_of(await response.text())["lmgateway_free_while_waiting_seconds_total"]


def _waits(tally: Tally, meter: Meter) -> dict[str, list[float]]:
    waits: dict[str, list[float]] = {}
    for user, sent in tally.sent.items():
        if (began := meter.began.get(user)) is not None:
            waits.setdefault(user.partition("/")[0], []).append(began - sent)
    return waits
