"""Changes while requests wait: of keys, of the configuration, and the end of the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from lmgateway.scheduling import watch
from lmgateway.web.state import SCHEDULER
from tests.support.keys import OWNER, call, make_key
from tests.support.reloading import reload
from tests.support.waiting import until
from tests.web.test_line import LLM, House, open_house, result, studios

__all__ = ["open_house", "studios"]


def tables(house: House, **more: Any) -> Any:
    return {"lmstudio": {"base_url": house.studio.base_url}, "auth": {"api_key": OWNER}, **more}


async def test_a_revoked_keys_waiting_requests_end(open_house: Any) -> None:
    """With a 401, and LM Studio never sees them; those of other keys go on."""
    house = await open_house(slots=1)
    alice = await make_key(house.gateway, "alice")
    running = house.ask()
    await house.holds(running=1, waiting=0)
    waiting = [house.ask(key=alice, stream=stream) for stream in (False, True)]
    own = house.ask()
    await house.holds(running=1, waiting=3)
    assert (await call(house.gateway, "DELETE", "/admin/keys/alice", key=OWNER)).status == 200
    assert [(await result(task))[0] for task in waiting] == [401, 401]
    await house.holds(running=1, waiting=1)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in (running, own)] == [200, 200]
    assert house.studio.requests.count("POST /v1/chat/completions") == 2


async def test_the_ledger_has_all_that_the_machine_spent(
    open_house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a prompt took while its client was there, and what it took after that, each once."""
    monkeypatch.setattr(watch, "COUNT_SECONDS", 0.3)
    house = await open_house(slots=1)
    gone = house.ask(stream=True)
    await house.gate.reached.wait()
    gone.cancel()
    await until(lambda: house.line.lingering == 1)
    house.gate.opened.set()
    await until(lambda: not house.line.running)
    assert (await result(house.ask()))[0] == 200
    await house.holds(running=0, waiting=0)
    total = (await call(house.gateway, "GET", "/admin/usage?by=key")).body["total"]
    # Each of two requests is rounded, one of them in two parts.
    assert total["gpuMs"] == pytest.approx(house.line.accounts.busy_seconds * 1000, abs=2)


async def test_the_last_that_waits_without_a_limit_gets_its_turn(open_house: Any) -> None:
    """Nothing else is in line then, and no timer is set."""
    house = await open_house(slots=1, queue={"max_wait_plain_ms": 0})
    running = house.ask()
    await house.holds(running=1, waiting=0)
    waiting = house.ask()
    await house.holds(running=1, waiting=1)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in (running, waiting)] == [200, 200]


async def test_the_line_goes_off_and_on_while_requests_run_and_wait(open_house: Any) -> None:
    """Off, all that wait run at once; on again, nothing new runs until there is a slot.

    What began while it was off has its slot too, as LM Studio counts it.
    """
    house = await open_house(slots=1)
    tasks = [house.ask() for _ in range(3)]
    await house.holds(running=1, waiting=2)
    reload(house.gateway, **tables(house, queue={"enabled": False}))
    await house.holds(running=3, waiting=0)
    past = house.ask()
    await until(lambda: house.studio.requests.count("POST /v1/chat/completions") == 4)
    reload(house.gateway, **tables(house))
    tasks.append(house.ask())
    await house.holds(running=3, waiting=1)
    reload(house.gateway, **tables(house, models={LLM: {"slots": 5}}))
    await house.holds(running=4, waiting=0)
    house.gate.opened.set()
    assert [(await result(task))[0] for task in (*tasks, past)] == [200] * 5
    await house.holds(running=0, waiting=0)


async def test_what_waits_ends_with_the_gateway(open_house: Any) -> None:
    """With a 503 at once, as does what would have to wait from then on."""
    house = await open_house(slots=1)
    running = house.ask()
    await house.holds(running=1, waiting=0)
    waiting = house.ask()
    await house.holds(running=1, waiting=1)
    house.gateway.app[SCHEDULER].end_waiting()
    late = house.ask()
    for task in (waiting, late):
        status, text, headers = await result(task)
        assert (status, "gateway_ending" in text) == (503, True)
        assert 1 <= int(headers["Retry-After"]) <= 30
    house.gate.opened.set()
    assert (await result(running))[0] == 200
    assert not house.line.waiting
