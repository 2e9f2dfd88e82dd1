"""`limits.running`: how many requests of a key run at once. The others wait in line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lmgateway.errors import RequestCancelled
from lmgateway.web.state import ACTIVITY, SCHEDULER
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.key_limits import CHAT, HELLO, LimitClocks, ask
from tests.support.keys import OWNER, bearer, change_key, make_key, revoke_key
from tests.support.upstream import Received, ScriptedUpstream, answer
from tests.support.waiting import PATIENCE_SECONDS, until

ANSWER = answer(b'{"usage": {"prompt_tokens": 3, "completion_tokens": 7}}')
NO_LIST = answer(status="404 Not Found")


class Line:
    """A gateway before an LM Studio that answers one request for each `answer_one()`."""

    def __init__(self, gateway: Gateway, upstream: ScriptedUpstream) -> None:
        self.gateway, self.upstream = gateway, upstream
        self._arrived: asyncio.Queue[Received] = asyncio.Queue()
        self._answers = asyncio.Semaphore(0)
        self._asking: set[asyncio.Task[tuple[int, str]]] = set()
        upstream.script = self._script

    async def _script(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.method == "GET":  # the ledger asks for the list of models
            await NO_LIST(request, reader, writer)
            return
        self._arrived.put_nowait(request)
        waiting = {asyncio.ensure_future(self._answers.acquire()), asyncio.ensure_future(reader.read(1))}
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if not any(task.result() == b"" for task in done):
            await ANSWER(request, reader, writer)

    def answer_one(self) -> None:
        self._answers.release()

    async def ask(self, key: str, text: str, path: str = CHAT) -> asyncio.Task[tuple[int, str]]:
        """Begin a request, which is in line or with LM Studio when this returns."""
        before = len(self.gateway.app[ACTIVITY].running)

        async def asking() -> tuple[int, str]:
            body, url = HELLO | {"user": text}, self.gateway.url(path)
            async with self.gateway.client.post(url, json=body, headers=bearer(key)) as response:
                return response.status, await response.text()

        task = asyncio.create_task(asking())
        self._asking.add(task)
        await until(lambda: len(self.gateway.app[ACTIVITY].running) > before)
        await until(lambda: self._is_placed(before + 1))
        return task

    def _is_placed(self, requests: int) -> bool:
        line = self.gateway.app[SCHEDULER].line
        return len(line.running) + len(line.waiting) >= requests

    async def arrives(self) -> str:
        """Return the text of the next request that reaches LM Studio."""
        received = await asyncio.wait_for(self._arrived.get(), PATIENCE_SECONDS)
        return received.body.decode().split('"user": "')[1].split('"')[0]

    def none_arrives(self) -> bool:
        return self._arrived.empty()

    async def close(self) -> None:
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        line = self.gateway.app[SCHEDULER].line
        # Also those whose clients have left in their prompts, which LM Studio can't be asked about here.
        await until(
            lambda: not line.waiting and all(one.phase == "lingering" for one in line.running.values())
        )


@pytest.fixture
async def line(start_gateway: StartGateway, upstream: ScriptedUpstream) -> AsyncIterator[Line]:
    line = Line(await start_gateway(upstream.base_url, auth={"api_key": OWNER}), upstream)
    yield line
    await line.close()  # nothing leaked


async def result(task: asyncio.Task[tuple[int, str]]) -> tuple[int, str]:
    return await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_one_at_a_time_in_order(line: Line) -> None:
    """The first to ask is the first to run."""
    key = await make_key(line.gateway, limits={"running": 1})
    tasks = [await line.ask(key, str(number)) for number in range(3)]
    for number, task in enumerate(tasks):
        assert await line.arrives() == str(number)
        assert line.none_arrives()
        line.answer_one()
        assert (await result(task))[0] == 200


async def test_two_at_a_time(line: Line) -> None:
    """Keys wait only for themselves, and the owner for nobody."""
    key = await make_key(line.gateway, limits={"running": 2})
    for number in range(3):
        await line.ask(key, str(number))
    assert {await line.arrives(), await line.arrives()} == {"0", "1"}
    other = await make_key(line.gateway, "bob", limits={"running": 1})
    await line.ask(other, "bob")
    assert await line.arrives() == "bob"
    await line.ask(OWNER, "owner")
    assert await line.arrives() == "owner"
    assert line.none_arrives()


async def test_a_client_that_leaves_while_it_waits_never_reaches_lm_studio(line: Line) -> None:
    """And the next in line isn't forgotten."""
    key = await make_key(line.gateway, limits={"running": 1})
    first, second, third = [await line.ask(key, text) for text in ("first", "second", "third")]
    assert await line.arrives() == "first"
    second.cancel()
    await until(lambda: len(line.gateway.app[ACTIVITY].running) == 2)
    line.answer_one()
    assert await line.arrives() == "third"
    line.answer_one()
    assert [(await result(task))[0] for task in (first, third)] == [200, 200]
    assert line.none_arrives()


async def test_a_client_that_leaves_while_it_runs_makes_room(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as LM Studio is done with it, which takes as long as prompts take."""
    monkeypatch.setattr("lmgateway.scheduling.prompt_times.MOST_LINGER_SECONDS", 0.0)
    key = await make_key(line.gateway, limits={"running": 1})
    first = await line.ask(key, "first")
    await line.ask(key, "second")
    assert await line.arrives() == "first"
    first.cancel()
    assert await line.arrives() == "second"


async def test_the_turn_of_a_client_that_just_left_passes_on(line: Line) -> None:
    """One that is cancelled in the moment in which it is let in takes nobody's place."""
    key = await make_key(line.gateway, limits={"running": 1})
    await line.ask(key, "first")
    await line.ask(key, "second")
    await line.ask(key, "third")
    assert await line.arrives() == "first"
    _first, second, _third = line.gateway.app[ACTIVITY].running
    scheduler = line.gateway.app[SCHEDULER]
    [lease] = scheduler.line.running.values()
    scheduler.finish(lease)  # lets the second in, whose task has not run yet
    second.cancellation.interrupt(RequestCancelled("second"))
    assert await line.arrives() == "third"


async def test_a_revoked_keys_waiting_request_ends(line: Line) -> None:
    """With a 401 within a second, and without having been sent."""
    key = await make_key(line.gateway, limits={"running": 1})
    running, waiting = [await line.ask(key, text) for text in ("running", "waiting")]
    assert await line.arrives() == "running"
    async with asyncio.timeout(1):
        await revoke_key(line.gateway)
        assert [(await task)[0] for task in (running, waiting)] == [401, 401]
    assert line.none_arrives()


async def test_a_raised_limit_applies_at_once(line: Line) -> None:
    """To those that wait already; a lowered one applies as the running ones end."""
    key = await make_key(line.gateway, limits={"running": 1})
    for number in range(5):
        await line.ask(key, str(number))
    assert await line.arrives() == "0"
    await change_key(line.gateway, limits={"running": 3})
    assert {await line.arrives(), await line.arrives()} == {"1", "2"}
    await change_key(line.gateway, limits={"running": 1})
    line.answer_one()
    line.answer_one()
    await until(lambda: len(line.gateway.app[ACTIVITY].running) == 3)
    assert line.none_arrives()
    await change_key(line.gateway, limits=None)
    assert {await line.arrives(), await line.arrives()} == {"3", "4"}


async def test_a_new_limit_counts_what_runs_already(line: Line) -> None:
    """Those that began without a limit."""
    key = await make_key(line.gateway)
    running = await line.ask(key, "running")
    assert await line.arrives() == "running"
    await change_key(line.gateway, limits={"running": 1})
    await line.ask(key, "waiting")
    assert line.none_arrives()
    line.answer_one()
    assert (await result(running))[0] == 200
    assert await line.arrives() == "waiting"


async def test_the_wait_is_recorded(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """In milliseconds; a request that doesn't wait has none."""
    now = 100.0
    monkeypatch.setattr("lmgateway.scheduling.runs.monotonic", lambda: now)
    key = await make_key(line.gateway, limits={"running": 1})
    await line.ask(key, "first")
    await line.ask(key, "second")
    first, second = line.gateway.app[ACTIVITY].running
    assert await line.arrives() == "first"
    now += 2.5
    line.answer_one()
    assert await line.arrives() == "second"
    assert (first.queued_ms, second.queued_ms) == (0, 2500)


async def test_a_failed_request_makes_room(line: Line) -> None:
    """LM Studio's errors and the gateway's end a request as well."""
    key = await make_key(line.gateway, limits={"running": 1})
    for status in ("404 Not Found", "500 Internal Server Error"):
        line.upstream.script = answer(b"{}", status=status)
        assert (await ask(line.gateway, key))[0] == int(status[:3])
    line.upstream.script = ANSWER
    assert (await ask(line.gateway, key))[0] == 200


async def test_the_time_limit_begins_when_it_is_sent(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """proxy.timeout_ms isn't used up in line."""
    monkeypatch.setattr("lmgateway.scheduling.prompt_times.MOST_LINGER_SECONDS", 0.0)
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER}, proxy={"timeout_ms": 300})
    line = Line(gateway, upstream)
    key = await make_key(gateway, limits={"running": 1})
    silent = [await line.ask(key, text) for text in ("first", "second", "third")]
    # The third is sent after 600 ms at the earliest, and is answered.
    assert [await line.arrives() for _ in range(3)] == ["first", "second", "third"]
    line.answer_one()
    assert [(await result(task))[0] for task in silent] == [504, 504, 200]
    await line.close()


async def test_tokens_are_looked_at_again_after_the_wait(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request may exceed the limit of tokens, and not the whole line; it is refused at no cost."""
    clocks = LimitClocks(monkeypatch)
    key = await make_key(line.gateway, limits={"running": 1, "tokensPerMinute": 10, "requestsPerMinute": 60})
    tasks = [await line.ask(key, text) for text in ("first", "second", "third")]
    assert await line.arrives() == "first"
    line.answer_one()
    assert [(await result(task))[0] for task in tasks] == [200, 429, 429]
    assert line.none_arrives()
    _, fields, _ = await ask(line.gateway, key, "/admin/keys/self", method="GET")
    assert fields["remaining-requests"] == "59"
    clocks.pass_seconds(6)
    task = await line.ask(key, "fourth")
    line.answer_one()
    assert (await result(task))[0] == 200


async def test_counting_tokens_and_listings_do_not_wait(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """Only requests that keep a model busy count as running."""
    gateway = await start_gateway(upstream.base_url, auth={"api_key": OWNER}, compat={"mend": False})
    line = Line(gateway, upstream)
    key = await make_key(gateway, limits={"running": 1})
    await line.ask(key, "running")
    assert await line.arrives() == "running"
    upstream.script = ANSWER
    assert (await ask(gateway, key, "/v1/messages/count_tokens"))[0] == 200
    assert (await ask(gateway, key, "/v1/models", method="GET"))[0] == 200
    await line.close()
