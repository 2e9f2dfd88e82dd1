"""Libraries of Python wait through keep-alives, and report what fails after them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import openai
import pytest

from lmgateway.web.state import SCHEDULER
from tests.conftest import StartGateway
from tests.support.held_streams import KEEPALIVE_MS
from tests.support.keys import call, make_key, revoke_key
from tests.support.waiting import STARTING_SECONDS, until
from tests.waiting.conftest import Place, Waiting, in_line
from tests.waiting.libraries import KEY, LIBRARIES

Asking = asyncio.Future[list[str | BaseException]]


def ask_all(waiting: Waiting, key: str = KEY) -> Asking:
    """Ask with each library at once."""
    asked = (library.ask(waiting.relay.base_url, key) for library in LIBRARIES.values())
    return asyncio.gather(*asked, return_exceptions=True)


async def keep_alives(waiting: Waiting, asking: Asking, number: int) -> None:
    """Return when each library has got so many, and all requests wait in the place."""
    # Ten libraries start at once, for the first time in the process.
    await until(lambda: waiting.fewest(len(LIBRARIES)) >= number or asking.done(), STARTING_SECONDS)
    assert waiting.count() == len(LIBRARIES)


async def outcomes(asking: Asking) -> dict[str, str | BaseException]:
    """Return each library's answer or exception."""
    found = await asyncio.wait_for(asking, STARTING_SECONDS)
    return dict(zip(LIBRARIES, found, strict=True))


def is_error(name: str, outcome: str | BaseException, words: str) -> bool:
    """True for the exception that the library's users expect, with these words."""
    return isinstance(outcome, LIBRARIES[name].errors) and words in str(outcome)


async def test_all_wait(start_gateway: StartGateway, place: Place) -> None:
    """Their answers are those of a model that answers at once."""
    async with place(start_gateway, keepalive_ms=KEEPALIVE_MS) as waiting:
        asking = ask_all(waiting)
        await keep_alives(waiting, asking, 3)
        waiting.go_on()
        found = await outcomes(asking)
    assert {name: each for name, each in found.items() if "simulated" not in str(each)} == {}


async def test_all_raise(start_gateway: StartGateway, place: Place) -> None:
    """An exception with the reason, and never an empty answer."""
    async with place(start_gateway, keepalive_ms=KEEPALIVE_MS) as waiting:
        asking = ask_all(waiting)
        await keep_alives(waiting, asking, 2)
        waiting.fail()
        found = await outcomes(asking)
    assert {name: each for name, each in found.items() if not is_error(name, each, "LM Studio is gone")} == {}


async def cancel(waiting: Waiting) -> None:
    for request in waiting.requests:
        deleted = await call(waiting.gateway, "DELETE", f"/debug/requests/{request.request_id}", key=KEY)
        assert deleted.status == 200


async def revoke(waiting: Waiting) -> None:
    await revoke_key(waiting.gateway, by=KEY)


async def end(waiting: Waiting) -> None:
    """What SIGTERM does at once."""
    waiting.gateway.app[SCHEDULER].end_waiting()


async def let_expire(_waiting: Waiting) -> None:
    """It does by itself."""


MAX_WAIT_MS = 20 * KEEPALIVE_MS
# The codes are the contract's; OpenAI's own for a key that isn't valid is invalid_api_key.
ENDS = [
    pytest.param(let_expire, {"max_wait_ms": MAX_WAIT_MS}, "wait_expired", "has waited 1 s", id="expired"),
    pytest.param(cancel, {}, "request_cancelled", "was cancelled", id="cancelled"),
    pytest.param(revoke, {}, "invalid_api_key", "was revoked", id="revoked"),
    pytest.param(end, {}, "gateway_ending", "is stopping", id="ending"),
]


@pytest.mark.parametrize(("end_waits", "queue", "code", "words"), ENDS)
async def test_ends_in_the_line_are_exceptions(
    start_gateway: StartGateway,
    end_waits: Callable[[Waiting], Awaitable[None]],
    queue: dict[str, int],
    code: str,
    words: str,
) -> None:
    """Each has its code and its reason, and LM Studio never sees the requests."""
    async with in_line(start_gateway, keepalive_ms=KEEPALIVE_MS, **queue) as waiting:
        asking = ask_all(waiting, await make_key(waiting.gateway, by=KEY))
        await until(lambda: waiting.fewest(len(LIBRARIES)) >= 1, STARTING_SECONDS)
        await end_waits(waiting)
        found = await outcomes(asking)
        assert {name: each for name, each in found.items() if not is_error(name, each, words)} == {}
        codes = {each.code for each in found.values() if isinstance(each, openai.APIError)}
        assert codes == {code}
        assert (waiting.count(), len(waiting.requests)) == (0, 0)
    assert waiting.gateway.app[SCHEDULER].line.running == {}
