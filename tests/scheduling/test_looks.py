"""A list of models that may be wrong: who may run before it is renewed, and after that has failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from lmgateway.config import Config
from lmgateway.errors import GatewayError, UpstreamNotReached, UpstreamUnavailable
from lmgateway.scheduling import looks
from lmgateway.scheduling.instances import Instances
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.looks import Looks
from lmgateway.scheduling.slots import Lease
from lmgateway.scheduling.tickets import Ticket
from tests.scheduling.schedule import arrive, instance, ticket
from tests.support.waiting import until

DOWN = UpstreamNotReached("LM Studio can't be reached.")
UNREADABLE = UpstreamUnavailable("LM Studio's list of models can't be read.")

# Of a box that is always taken for up.
PLAIN: dict[str, Any] = {"is_up": True, "is_watched": False, "is_left_alone": False, "used": lambda: None}


class Doubted:
    """A line with a model in memory, before an LM Studio that answers as a test says: `outcomes`, in turn.

    The last one is repeated; None is a list that can be read. `ended` are the requests that were refused.
    """

    def __init__(self) -> None:
        self.line = Line()
        self.outcomes: list[GatewayError | None] = [None]
        self.asked = self.came_up = 0
        self.running: list[Ticket] = []
        self.ended: list[tuple[Ticket, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        catalogue = SimpleNamespace(expire=lambda: None, is_fresh=False, hangs=False)
        box: Any = SimpleNamespace(
            name="lmstudio", catalogue=catalogue, fresh_models=self._list, sdk=None, **PLAIN
        )
        instances = Instances(self.line, Config)
        self.line.put(instance(slots=2), 0.0)
        self.catalogue = catalogue
        self.looks = Looks(
            self.line,
            instances,
            lambda: box,
            self._dispatch,
            came_up=self._came_up,
            has_residency=lambda: True,
            end=lambda one, error: self.ended.append((one, error.code)),
            found=lambda one: None,
        )

    def arrives(self) -> Ticket:
        made = ticket()
        self._dispatch(arrive(self.line, made, 0.0))
        return made

    def _dispatch(self, leases: Iterable[Lease]) -> None:
        self.running += [lease.ticket for lease in leases]
        self.looks.attend()

    async def _list(self) -> None:
        self.asked += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        await self.gate.wait()
        if outcome is not None:
            raise outcome

    def _came_up(self) -> None:
        self.came_up += 1


@pytest.fixture
async def doubted(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Doubted]:
    monkeypatch.setattr(looks, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(looks, "PATIENCE_SECONDS", 0.02)
    made = Doubted()
    yield made
    await made.looks.close()


async def test_nobody_runs_before_the_list_is_renewed(doubted: Doubted) -> None:
    """Neither who arrives nor who was waiting; then all in their order."""
    first, second = doubted.arrives(), doubted.arrives()
    third = doubted.arrives()
    assert doubted.running == [first, second]
    doubted.gate.clear()
    doubted.looks.doubt()
    doubted.line.release(doubted.line.running[first], 1.0)
    doubted.line.release(doubted.line.running[second], 1.0)
    fourth = doubted.arrives()
    assert doubted.line.waiting[third].reason == "box"
    assert doubted.running == [first, second]
    doubted.gate.set()
    await until(lambda: doubted.running == [first, second, third, fourth])


async def test_a_list_that_was_requested_before_the_doubt_does_not_end_it(doubted: Doubted) -> None:
    """LM Studio may have sent it before it was started again."""
    doubted.gate.clear()
    doubted.looks.doubt()
    await until(lambda: doubted.asked == 1)
    doubted.looks.lost()
    doubted.gate.set()
    asked = doubted.arrives()
    await until(lambda: doubted.running == [asked])
    assert doubted.asked == 2


async def test_who_waits_is_refused_if_lm_studio_cannot_be_reached(doubted: Doubted) -> None:
    """It is asked again for the next request, which would be sent by a wrong list otherwise."""
    doubted.outcomes = [DOWN]
    doubted.looks.lost()
    asked = doubted.arrives()
    await until(lambda: doubted.ended == [(asked, "upstream_unavailable")])
    assert asked not in doubted.line.waiting
    assert doubted.line.machines.doubtful
    await until(lambda: doubted.looks._settling is not None and doubted.looks._settling.done())
    doubted.outcomes = [None]
    later = doubted.arrives()
    await until(lambda: doubted.running == [later])
    assert doubted.came_up == 1


async def test_lm_studio_is_back_in_a_moment(doubted: Doubted) -> None:
    """Who waits is served, and isn't refused."""
    doubted.outcomes = [DOWN, DOWN, None]
    doubted.looks.lost()
    asked = doubted.arrives()
    await until(lambda: doubted.running == [asked])
    assert (doubted.ended, doubted.came_up) == ([], 1)


async def test_a_list_that_cannot_be_read_says_nothing(doubted: Doubted) -> None:
    """Then the last one counts: LM Studio answers, and may well be able to serve."""
    doubted.outcomes = [UNREADABLE]
    doubted.looks.doubt()
    asked = doubted.arrives()
    await until(lambda: doubted.running == [asked])
    assert doubted.came_up == 0


async def test_a_list_that_hung_a_moment_ago_is_not_waited_for(doubted: Doubted) -> None:
    """Otherwise each refused request would hold up everybody for 5 s."""
    doubted.catalogue.hangs = True
    doubted.looks.doubt()
    asked = doubted.arrives()
    assert doubted.running == [asked]


async def test_it_is_asked_often_until_it_is_up(doubted: Doubted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then every 10 s, and at once when it is lost again."""
    monkeypatch.setattr(looks, "PIN_SECONDS", 1000.0)
    doubted.outcomes = [*[DOWN] * 3, None]
    looking = asyncio.create_task(doubted.looks.look_regularly(lambda: True))
    try:
        await until(lambda: doubted.came_up == 1)
        doubted.looks.lost()
        await until(lambda: doubted.came_up == 2)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
