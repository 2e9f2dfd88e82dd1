"""Many requests of every API at once, which leave in every state: nothing may be left over."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from random import Random, SystemRandom
from typing import Any

import pytest

from lmgateway.scheduling.runs import Run
from lmgateway.scheduling.slots import Lease
from lmgateway.scheduling.waiting import Waiter
from lmgateway.web.state import FLEET, SCHEDULER
from tests.conftest import StartGateway
from tests.soak.books import Books
from tests.support.gate import Gate
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, bearer, call, change_key, make_key, revoke_key
from tests.support.metrics import sums_of
from tests.support.reloading import reload
from tests.support.storm import FATES, LLM, RecordingSimulator, Storm
from tests.support.studio import running_studio
from tests.support.waiting import until

SLOTS = 4
KEYS: dict[str, dict[str, object]] = {
    "alice": {"share": 2},
    "bob": {"class": "background"},
    "app": {"userHeader": "X-User"},
    "narrow": {"limits": {"running": 1}},
    "gone": {},
}
TABLES: dict[str, Any] = {"auth": {"api_key": OWNER}, "queue": {"max_waiting": 120}}


@pytest.mark.parametrize(
    ("requests", "at_once"),
    [
        pytest.param(108, 54, id="108"),
        pytest.param(1000, 200, id="1000", marks=[pytest.mark.long, pytest.mark.timeout(600)]),
    ],
)
async def test_a_storm_leaves_nothing_behind(
    start_gateway: StartGateway, requests: int, at_once: int
) -> None:
    """No waiter, lease, task or timer; each request had one end; and as many as slots still run at once."""
    seed = int(os.environ.get("LMGATEWAY_STORM_SEED") or SystemRandom().randrange(2**32))
    print(f"LMGATEWAY_STORM_SEED={seed}")  # pytest shows it if the test fails
    simulator, earlier = RecordingSimulator(), in_line()  # another test's may still be alive
    async with running_studio(simulator) as studio:
        gateway = await start_gateway(studio.base_url, **TABLES)
        await gateway.app[FLEET].boxes.main.list_models()
        keys = {name: await make_key(gateway, name, **settings) for name, settings in KEYS.items()}
        storm = Storm(gateway, keys, Random(seed))
        books = Books()
        async with books.following(gateway.client, gateway.base_url, bearer(OWNER)):
            await storm.rage(requests, at_once, acts(gateway, studio.base_url))
            await until(lambda: is_empty(gateway))
            await until(lambda: books.balanced)
        check_the_ends(storm, books, simulator, requests)
        await check_the_line(gateway)
        await until(lambda: tasks() == [])
        assert timers() == []
        assert [one for one in in_line() if not any(one is other for other in earlier)] == []
        await check_all_slots_run(gateway, simulator, [keys["alice"], keys["app"]])


def in_line() -> list[Run | Lease | Waiter]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, (Run, Lease, Waiter))]


def acts(gateway: Gateway, base_url: str) -> list[Callable[[], Awaitable[None]]]:
    """What an operator changes meanwhile."""

    async def set_slots(slots: int) -> None:
        reload(gateway, lmstudio={"base_url": base_url}, **TABLES, models={LLM: {"slots": slots}})

    return [
        lambda: set_slots(2),
        lambda: change_key(gateway, "alice", share=0.5),
        lambda: set_slots(SLOTS),
        lambda: change_key(gateway, "narrow", limits={"running": 2}),
        lambda: change_key(gateway, "app", **{"class": "background"}),
        lambda: revoke_key(gateway, "gone"),
    ]


def is_empty(gateway: Gateway) -> bool:
    line = gateway.app[SCHEDULER].line
    return not line.waiting and not line.running


def check_the_ends(storm: Storm, books: Books, simulator: RecordingSimulator, requests: int) -> None:
    assert storm.over == requests
    # Every way to end a request was tried.
    assert set(storm.ended) == {end for end in FATES if end.state is not None}
    assert set(storm.statuses) <= {200, 400, 401, 429}, storm.statuses
    assert (books.mistakes, books.missed) == ([], 0)
    assert books.started == books.completed + books.failed
    assert books.completed >= len(storm.answered)
    total = simulator.ledger.total
    assert total.begun == total.finished + total.aborted
    assert total.finished >= len(storm.answered)
    assert set(simulator.arrived.values()) == {1}
    assert not set(storm.refused) & set(simulator.arrived)
    assert storm.most_leases <= SLOTS


async def check_the_line(gateway: Gateway) -> None:
    """Nothing is reported, and the accounts add up to the busy time."""
    report = (await call(gateway, "GET", "/debug/queue")).body
    assert (report["waiting"], report["running"]) == ([], [])
    assert {(row["running"], row["waiting"]) for row in report["keys"]} == {(0, 0)}
    assert {one["ours"] for one in report["instances"]} == {0}
    sums = sums_of((await call(gateway, "GET", "/metrics")).body)
    busy = sums["lmgateway_busy_seconds_total"]
    assert busy > 0
    assert sums["lmgateway_gpu_seconds_total"] == pytest.approx(busy, rel=1e-6)
    shown = sum(row["gpuMs"] for row in report["keys"]) / 1000
    assert shown == pytest.approx(busy, abs=0.001 * len(report["keys"]))


def tasks() -> list[str]:
    """Return the tasks of requests and of the line. Those of idle connections are no one's."""
    shown = [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return [one for one in shown if "/scheduling/" in one or "/web/" in one]


def timers() -> list[str]:
    """Return the timers of the line that would still fire."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    shown = [repr(timer) for timer in scheduled if not timer.cancelled()]
    return [one for one in shown if "/scheduling/" in one or "keep_alive" in one]


async def check_all_slots_run(gateway: Gateway, simulator: RecordingSimulator, keys: list[str]) -> None:
    """Of two keys that want all slots, exactly as many requests run at once as there are slots."""
    gate = simulator.pace = Gate(holds="prompt")
    body = {"model": LLM, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    asking = [
        asyncio.create_task(call(gateway, "POST", "/v1/chat/completions", body, key=key))
        for key in keys * SLOTS
    ]
    line = gateway.app[SCHEDULER].line
    await until(lambda: len(line.waiting) == len(asking) - SLOTS)
    await until(lambda: simulator.ledger.models[LLM].running == SLOTS)
    assert len(line.running) == SLOTS
    gate.opened.set()
    assert {(await one).status for one in asking} == {200}
