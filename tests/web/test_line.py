"""The line before the GPU, as clients see it: over real sockets, before the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from lmgateway.simulator import Simulator, Switches
from lmgateway.web.state import FLEET, SCHEDULER
from tests.conftest import StartGateway
from tests.support.gate import Gate
from tests.support.gateway import Gateway
from tests.support.keys import OWNER, bearer, make_key
from tests.support.studio import Studio, running_studio
from tests.support.waiting import PATIENCE_SECONDS, until

CHAT = "/v1/chat/completions"
LLM, EMBEDDING = "qwen2.5-7b-instruct", "text-embedding-nomic-embed-text-v1.5"
Asked = asyncio.Task[tuple[int, Any, "aiohttp.typedefs.LooseHeaders"]]


class House:
    """A gateway before a simulator whose models wait at a gate."""

    def __init__(self, gateway: Gateway, studio: Studio, gate: Gate) -> None:
        self.gateway, self.studio, self.gate = gateway, studio, gate
        self._asking: list[asyncio.Task[Any]] = []

    @property
    def line(self) -> Any:
        return self.gateway.app[SCHEDULER].line

    def ask(self, path: str = CHAT, key: str = OWNER, *, headers: Any = None, **members: object) -> Asked:
        body = {"model": LLM, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4, **members}

        async def asking() -> tuple[int, Any, Any]:
            url, fields = self.gateway.url(path), {**bearer(key), **(headers or {})}
            async with self.gateway.client.post(url, json=body, headers=fields) as response:
                text = await response.text()
                return response.status, text, response.headers

        task = asyncio.create_task(asking())
        self._asking.append(task)
        return task

    async def holds(self, *, running: int, waiting: int) -> None:
        """Wait until so many run and wait, by the gateway's report."""

        async def counts() -> tuple[int, int]:
            report = await self.report()
            return len(report["running"]), len(report["waiting"])

        async with asyncio.timeout(PATIENCE_SECONDS):
            while await counts() != (running, waiting):
                await asyncio.sleep(0.01)

    async def report(self) -> Any:
        url = self.gateway.url("/debug/queue")
        async with self.gateway.client.get(url, headers=bearer(OWNER)) as response:
            assert response.status == 200
            return await response.json()

    async def look(self) -> None:
        """Have the gateway learn what is in memory now, as a request does that comes 5 s after the last."""
        await self.gateway.app[FLEET].boxes.main.list_models()
        await asyncio.sleep(0)

    async def close(self) -> None:
        self.gate.opened.set()
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)


@pytest.fixture
async def studios() -> AsyncIterator[AsyncExitStack]:
    """Simulators, which end after the gateways before them."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def open_house(studios: AsyncExitStack, start_gateway: StartGateway) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:

        async def opened(*, holds: str = "prompt", slots: int = 2, model: str = LLM, **tables: Any) -> House:
            gate = Gate(holds=holds)
            switches = Switches(parallel=slots, unified_kv_cache=False)
            simulator = Simulator(pace=gate, switches=switches)
            simulator.load(model)
            studio = await studios.enter_async_context(running_studio(simulator))
            gateway = await start_gateway(studio.base_url, auth={"api_key": OWNER}, **tables)
            house = House(gateway, studio, gate)
            stack.push_async_callback(house.close)
            await house.look()
            return house

        yield opened


async def result(task: Asked) -> tuple[int, Any, Any]:
    return await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_lm_studio_gets_no_more_than_it_has_slots(open_house: Any) -> None:
    """The rest waits in the gateway, and all are answered."""
    house = await open_house(slots=2)
    tasks = [house.ask() for _ in range(5)]
    await house.holds(running=2, waiting=3)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in tasks] == [200] * 5
    occupancy = house.studio.simulator.ledger.occupancy
    assert (occupancy.most_running, occupancy.most_queued) == (2, 0)


async def test_answers_that_waited_say_how_long(open_house: Any) -> None:
    """In the header X-Queue-Wait-Ms; the others have none."""
    house = await open_house(slots=1)
    first, second = house.ask(), house.ask()
    await house.holds(running=1, waiting=1)
    house.gate.opened.set()
    headers = [(await result(task))[2] for task in (first, second)]
    waits = sorted((fields.get("X-Queue-Wait-Ms") for fields in headers), key=str)
    assert waits[1] is None
    assert int(waits[0]) >= 0


async def test_a_name_means_what_the_last_list_says(open_house: Any) -> None:
    """The same request runs on the instance of that name once there is one."""
    house = await open_house(slots=1, model=EMBEDDING)
    for name, running in (("another", 1), (LLM, 2)):
        house.studio.simulator.load(LLM, name)
        await house.look()
        house.ask()
        await house.holds(running=running, waiting=0)
    assert [lease.ticket.instance for lease in house.line.running.values()] == [None, LLM]


async def test_the_configuration_sets_a_models_slots(open_house: Any) -> None:
    """`models.NAME.slots` comes before what LM Studio says."""
    house = await open_house(slots=4, models={LLM: {"slots": 1}})
    tasks = [house.ask() for _ in range(2)]
    await house.holds(running=1, waiting=1)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in tasks] == [200, 200]


async def test_an_embedding_model_has_one_slot(open_house: Any) -> None:
    house = await open_house(model=EMBEDDING)
    tasks = [house.ask("/v1/embeddings", model=EMBEDDING, input="x") for _ in range(2)]
    await house.holds(running=1, waiting=1)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in tasks] == [200, 200]


async def test_slots_are_learned_again_after_a_load(open_house: Any) -> None:
    """By whomever; what waits runs as soon as there are more."""
    house = await open_house(slots=1)
    tasks = [house.ask() for _ in range(3)]
    await house.holds(running=1, waiting=2)
    [instance] = house.studio.simulator.memory.instances()
    instance.slots.count = 3
    await house.look()
    await house.holds(running=3, waiting=0)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in tasks] == [200] * 3


async def test_what_others_run_keeps_its_slots(open_house: Any) -> None:
    """LM Studio's own count shows it, at most 2 s after a request begins to wait. One slot stays ours."""
    house = await open_house(slots=2)
    async with aiohttp.ClientSession(house.studio.base_url) as beside:
        body = {"model": LLM, "messages": [{"role": "user", "content": "Hi"}]}
        others = [asyncio.create_task(beside.post(CHAT, json=body)) for _ in range(2)]
        await until(lambda: len(house.studio.simulator.memory.instances()[0].slots.running) == 2)
        first = house.ask()
        await house.holds(running=1, waiting=0)
        second, third = house.ask(), house.ask()
        await until(lambda: any(one.outside == 2 for one in house.line.machines.instances.values()))
        report = await house.report()
        assert [one["outside"] for one in report["instances"]] == [2]
        house.gate.opened.set()
        assert [(await result(task))[0] for task in (first, second, third)] == [200] * 3
        for other in others:
            (await other).close()


async def test_a_client_that_left_in_its_prompt_holds_its_slot(open_house: Any) -> None:
    """LM Studio finishes the prompt first, and says when it has."""
    house = await open_house(slots=1)
    gone = house.ask(stream=True)
    await house.holds(running=1, waiting=0)
    await house.gate.reached.wait()
    gone.cancel()
    await until(lambda: [one.phase for one in house.line.running.values()] == ["lingering"])
    next_one = house.ask()
    await house.holds(running=1, waiting=1)
    house.gate.opened.set()
    assert (await result(next_one))[0] == 200
    assert house.studio.simulator.ledger.occupancy.most_queued == 0


async def test_a_client_that_left_while_generating_frees_its_slot(open_house: Any) -> None:
    """LM Studio stops at the next token."""
    house = await open_house(slots=1, holds="token")
    async with house.gateway.client.post(
        house.gateway.url(CHAT),
        json={"model": LLM, "messages": [{"role": "user", "content": "Hi"}], "stream": True},
        headers=bearer(OWNER),
    ) as response:
        await response.content.readany()
        waiting = house.ask()
        await house.holds(running=1, waiting=1)
    house.gate.opened.set()
    assert (await result(waiting))[0] == 200


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        ({"max_waiting": 1}, "queue_full"),
        ({"max_waiting_bytes": 150}, "queue_full"),
        ({"max_waiting_per_key": 1}, "key_queue_full"),
    ],
)
async def test_the_line_is_bounded(open_house: Any, bounds: dict[str, int], code: str) -> None:
    """One more is refused at once, with the reason and when to try again."""
    house = await open_house(slots=1, queue=bounds)
    tasks = [house.ask()]
    await house.holds(running=1, waiting=0)
    tasks.append(house.ask())
    await house.holds(running=1, waiting=1)
    status, text, headers = await result(house.ask())
    assert (status, headers["X-Refused-Reason"]) == (429, code)
    assert 1 <= int(headers["Retry-After"]) <= 30
    assert f'"{code}"' in text
    house.gate.opened.set()
    assert [(await result(task))[0] for task in tasks] == [200, 200]


async def test_a_refusal_says_when_a_slot_is_free(open_house: Any) -> None:
    """As long as the model's answers take."""
    house = await open_house(slots=1, queue={"max_waiting": 1})
    tasks = [house.ask()]
    await house.holds(running=1, waiting=0)
    [lease] = house.line.running.values()
    lease.began -= 20
    house.gate.opened.set()
    assert (await result(tasks[0]))[0] == 200
    house.gate.opened.clear()
    tasks += [house.ask() for _ in range(2)]
    await house.holds(running=1, waiting=1)
    _, _, headers = await result(house.ask())
    assert 20 <= int(headers["Retry-After"]) <= 30
    house.gate.opened.set()
    assert [(await result(task))[0] for task in tasks] == [200] * 3


@pytest.mark.parametrize("stream", [True, False])
async def test_a_wait_has_a_limit(open_house: Any, *, stream: bool) -> None:
    """Streams and others have their own."""
    limits = {"max_wait_ms": 50, "max_wait_plain_ms": 0} if stream else {"max_wait_plain_ms": 50}
    house = await open_house(slots=1, queue=limits)
    running = house.ask()
    await house.holds(running=1, waiting=0)
    status, text, headers = await result(house.ask(stream=stream))
    assert (status, headers["X-Refused-Reason"]) == (429, "wait_expired")
    assert "wait_expired" in text
    patient = house.ask(stream=not stream)
    await house.holds(running=1, waiting=1)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in (running, patient)] == [200, 200]


async def test_without_the_line_everything_passes(open_house: Any) -> None:
    """LM Studio has a line of its own."""
    house = await open_house(slots=1, queue={"enabled": False})
    tasks = [house.ask() for _ in range(3)]
    await until(lambda: house.studio.simulator.ledger.occupancy.queued == 2)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in tasks] == [200] * 3


@pytest.mark.parametrize("lowered", [{"headers": {"X-Priority": "background"}}, {"service_tier": "flex"}])
async def test_background_goes_behind_interactive(open_house: Any, lowered: Any) -> None:
    """A request can lower itself, and leaves the last slot free."""
    house = await open_house(slots=2)
    background = [house.ask(**lowered) for _ in range(2)]
    await house.holds(running=1, waiting=1)
    person = house.ask()
    await house.holds(running=2, waiting=1)
    [waiting] = (await house.report())["waiting"]
    assert (waiting["class"], waiting["reason"]) == ("background", "slot")
    house.gate.opened.set()
    assert [(await result(task))[0] for task in (*background, person)] == [200] * 3


async def test_a_question_beside_a_swarm_begins_at_once(open_house: Any) -> None:
    """No key holds all slots while another one is active."""
    house = await open_house(slots=2)
    agent, person = await make_key(house.gateway, "agent"), await make_key(house.gateway, "person")
    first = house.ask(key=person)
    await house.holds(running=1, waiting=0)
    swarm = [house.ask(key=agent) for _ in range(3)]
    await house.holds(running=2, waiting=2)
    question = house.ask(key=person, stream=True)
    await house.holds(running=2, waiting=3)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in (first, question, *swarm)] == [200] * 5


async def test_an_admin_ends_a_waiting_request(open_house: Any) -> None:
    """With a 400, and LM Studio never sees it."""
    house = await open_house(slots=1)
    running, waiting = house.ask(), house.ask(headers={"X-Request-Id": "mine"})
    await house.holds(running=1, waiting=1)
    [entry] = (await house.report())["waiting"]
    url = house.gateway.url(f"/debug/requests/{entry['requestId']}")
    async with house.gateway.client.delete(url, headers=bearer(OWNER)) as response:
        assert response.status == 200
    ended = waiting if entry["requestId"] == "mine" else running
    status, text, _ = await result(ended)
    assert (status, "request_cancelled" in text) == (400, True)
    await house.holds(running=1, waiting=0)
    assert house.studio.simulator.ledger.occupancy.queued == 0


async def test_addresses_have_their_own_turns_while_there_is_one_caller(open_house: Any) -> None:
    """And keys once there are two."""
    house = await open_house(slots=2)
    tasks = [house.ask()]
    await house.holds(running=1, waiting=0)
    [row] = (await house.report())["keys"]
    assert (row["key"], row["address"]) == ("owner", "127.0.0.1")
    await make_key(house.gateway, "other")
    tasks.append(house.ask())
    await house.holds(running=2, waiting=0)
    rows = (await house.report())["keys"]
    assert {one.get("address") for one in rows if one["running"]} == {"127.0.0.1", None}
    house.gate.opened.set()
    assert [(await result(task))[0] for task in tasks] == [200, 200]


async def test_a_model_that_lm_studio_loads_meanwhile_is_seen(open_house: Any, monkeypatch: Any) -> None:
    """While a request waits for it, also without a new request. The gateway loads none itself."""
    monkeypatch.setattr("lmgateway.scheduling.looks.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("lmgateway.scheduling.watch.COUNT_SECONDS", 0.01)
    monkeypatch.setattr("lmgateway.boxes.catalogue.FRESH_SECONDS", 0.0)
    house = await open_house(slots=6, residency={"enabled": False})
    other = "llama-3.2-3b-instruct"
    tasks = [house.ask(model=other) for _ in range(5)]
    await house.holds(running=4, waiting=1)  # the usual slots, before it is in memory
    house.studio.simulator.load(other)
    await house.holds(running=5, waiting=0)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in tasks] == [200] * 5
