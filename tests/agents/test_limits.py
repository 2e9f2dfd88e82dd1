"""The real Claude Code and Codex with keys that have limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lmgateway.observe.record import RequestRecord
from lmgateway.web.state import ACTIVITY, SCHEDULER
from tests.agents.conftest import KEY, MODEL, Setup
from tests.agents.programs import Finished, Program, claude_code, codex_cli
from tests.support.gate import Gate
from tests.support.key_limits import HELLO, LimitClocks, ask
from tests.support.keys import call
from tests.support.node import INSTALL_SECONDS
from tests.support.waiting import PATIENCE_SECONDS, STARTING_SECONDS

pytestmark = [pytest.mark.long, pytest.mark.timeout(INSTALL_SECONDS)]

LARGE = 32768
ANSWER = "This is a simulated answer"
COUNT = "/v1/messages/count_tokens"
# More than Codex needs for a question: it calls a tool first.
TOKENS = 20000
Ask = Callable[[str], Awaitable[Finished]]


@pytest.fixture(params=["Claude Code", "Codex"])
async def program(request: pytest.FixtureRequest, commands: Path, setup: Setup, tmp_path: Path) -> Ask:
    """Ask it something, with a key."""
    await setup.load(LARGE)
    url = setup.gateway.base_url

    async def ask_it(key: str) -> Finished:
        made: Program
        arguments: tuple[str, ...]
        if request.param == "Codex":
            made, arguments = (
                codex_cli(commands, tmp_path, url, key, MODEL),
                ("exec", "--skip-git-repo-check"),
            )
        else:
            made, arguments = claude_code(commands, tmp_path, url, key, MODEL), ("--tools", "", "-p")
        return await made.run(*arguments, "Hello!")

    return ask_it


@pytest.fixture
def ended(setup: Setup) -> list[RequestRecord]:
    """The requests to the model that have ended."""
    records: list[RequestRecord] = []

    def add(record: RequestRecord) -> None:
        if record.method == "POST" and record.path != COUNT:
            records.append(record)

    setup.gateway.app[ACTIVITY].add_consumer(add)
    return records


async def reached(setup: Setup, happened: Callable[[], object]) -> None:
    async with asyncio.timeout(STARTING_SECONDS):
        while not happened():
            setup.gateway.app[ACTIVITY].flush()
            await asyncio.sleep(0.01)


async def use_up_requests(setup: Setup) -> tuple[str, int]:
    """Return a key, and what Retry-After is: a thirtieth of a minute."""
    key = await setup.make_key(limits={"requestsPerMinute": 30})
    for _ in range(30):
        await ask(setup.gateway, key, COUNT)
    return key, 2


async def use_up_tokens(setup: Setup) -> tuple[str, int]:
    """Return a key, and what Retry-After is: a whole second."""
    key = await setup.make_key(limits={"tokensPerMinute": 10**6})
    long = {"role": "user", "content": "word " * TOKENS}
    _, _, body = await ask(setup.gateway, key, body=HELLO | {"messages": [long]})
    assert body["usage"]["total_tokens"] >= TOKENS
    lower = {"limits": {"tokensPerMinute": TOKENS}}
    assert (await call(setup.gateway, "PATCH", "/admin/keys/anna", lower, key=KEY)).status == 200
    return key, 1


@pytest.mark.parametrize("use_up", [use_up_requests, use_up_tokens])
async def test_a_limit_of_a_minute_is_waited_for(
    program: Ask,
    setup: Setup,
    ended: list[RequestRecord],
    monkeypatch: pytest.MonkeyPatch,
    use_up: Callable[[Setup], Awaitable[tuple[str, int]]],
) -> None:
    """It asks again when Retry-After has passed, not before, and finishes its work."""
    clocks = LimitClocks(monkeypatch)
    key, seconds = await use_up(setup)
    ended.clear()
    asking = asyncio.create_task(program(key))
    await reached(setup, lambda: ended or asking.done())
    clocks.pass_seconds(60)
    finished = await asking
    assert (finished.status, ANSWER in finished.output) == (0, True), finished.output
    await reached(setup, lambda: len(ended) > 1)
    refused, *answered = ended
    assert (refused.status, {one.status for one in answered}) == (429, {200})
    assert answered[0].began - refused.began >= seconds


async def test_a_limit_of_the_day_is_explained(
    program: Ask, setup: Setup, ended: list[RequestRecord]
) -> None:
    """A person's key works until its limit. Then it doesn't wait until midnight, and says why."""
    key = await setup.make_key(limits={"tokensPerDay": 1})
    assert (await ask(setup.gateway, key))[0] == 200
    finished = await program(key)
    is_explained = "The key anna has used up its 1 tokens per day (limits.tokensPerDay)" in finished.output
    assert (finished.status, is_explained) == (1, True), finished.output
    await reached(setup, lambda: len(ended) > 1)
    assert [one.status for one in ended] == [200, 429]


async def test_more_than_run_at_once_wait(program: Ask, setup: Setup, ended: list[RequestRecord]) -> None:
    """In line, until the key's other request has ended."""
    key = await setup.make_key(limits={"running": 1})
    setup.studio.simulator.pace = gate = Gate(holds="prompt")
    other = asyncio.create_task(ask(setup.gateway, key, body=HELLO))
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    asking = asyncio.create_task(program(key))
    line = setup.gateway.app[SCHEDULER].line
    await reached(setup, lambda: line.waiting or asking.done())
    report = await call(setup.gateway, "GET", "/debug/queue", key=KEY)
    assert [one["reason"] for one in report.body["waiting"]] == ["key_limit"]
    gate.opened.set()
    finished = await asking
    assert (finished.status, ANSWER in finished.output) == (0, True), finished.output
    assert (await other)[0] == 200
    await reached(setup, lambda: len(ended) > 1)
    assert {one.status for one in ended} == {200}
