"""Asking LM Studio how many requests it has: what the line does when it can't be asked any more."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from lmgateway.boxes.listing import InstanceDetails, KnownModel, Listing
from lmgateway.config import Config
from lmgateway.errors import ModelNotFound, StudioFailed, UpstreamUnavailable
from lmgateway.scheduling import watch
from lmgateway.scheduling.instances import Instances
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.looks import LOOK_SECONDS
from lmgateway.scheduling.outside import CountTrust
from lmgateway.scheduling.tickets import Terms
from tests.scheduling.schedule import MODEL, ticket
from tests.support.waiting import until


class Watched:
    """A line in which a request waits for its key, before an LM Studio that counts as a test says."""

    def __init__(self) -> None:
        self.line = Line(terms=lambda key: Terms(running=4))
        self.instances = Instances(self.line, Config)
        self.answers: list[int | Exception] = []
        self.asked = 0
        self.detailed: list[str] = []
        self.expired = False
        box: Any = SimpleNamespace(
            name="lmstudio",
            is_left_alone=False,
            is_up=True,
            is_watched=False,
            sdk=self,
            catalogue=SimpleNamespace(expire=self._expire, is_fresh=True),
            fresh_models=self._list,
        )
        self.watch = watch.Watch(self.line, self.instances, lambda: box, lambda leases: None)
        self.lists(MODEL)
        for _ in range(5):
            self.line.arrive(ticket(), 0.0)

    def lists(self, *names: str) -> None:
        details = dict.fromkeys(names, InstanceDetails(4, 4096))
        known = {name: KnownModel(MODEL, "llm") for name in names}
        self.instances.take("lmstudio", Listing(instances=known, details=details))

    async def _list(self) -> None:
        """The list is fresh."""

    async def details(self, _kind: str, name: str) -> InstanceDetails:
        self.detailed.append(name)
        return InstanceDetails(4, 4096)

    async def count_requests(self, _kind: str, _name: str) -> int:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _expire(self) -> None:
        self.expired = True

    @property
    def outside(self) -> list[int]:
        return [one.outside for one in self.instances.listed("lmstudio")]


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(watch, "COUNT_SECONDS", 0.001)
    made = Watched()
    yield made
    await made.watch.close()


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamUnavailable("LM Studio can't be reached."),
        StudioFailed("LM Studio's answer isn't understood."),
        ModelNotFound("No model is loaded under this name."),
    ],
)
async def test_slots_are_left_to_others_only_while_they_are_seen(
    watched: Watched, failure: Exception
) -> None:
    """Otherwise the line would stay short for as long as something waits, whatever the others do."""
    watched.answers = [7, 7, failure]
    watched.watch.attend()
    await until(lambda: watched.outside == [3])
    await until(lambda: watched.outside == [0])


async def test_details_are_requested_of_an_instance_that_another_look_has_found(watched: Watched) -> None:
    """The list is fresh by then, because a request's model was looked up in it."""
    watched.watch.looks.look(0.0)
    await until(lambda: watched.detailed == [MODEL])
    watched.watch.looks.look(LOOK_SECONDS - 0.1)  # too early
    watched.watch.looks.look(LOOK_SECONDS)  # nothing is left to learn
    watched.lists(MODEL, "another")
    watched.watch.looks.look(2 * LOOK_SECONDS)
    await until(lambda: watched.detailed == [MODEL, "another"])


async def test_a_name_that_is_gone_is_forgotten(watched: Watched) -> None:
    """Clients may choose identifiers, thousands in a month."""
    watched.answers = [5]
    kept = trusts()
    for number in range(20):
        watched.lists(f"name-{number}")
        before = watched.asked
        watched.watch.attend()
        await until(lambda before=before: watched.asked > before)  # type: ignore[misc]
        await asyncio.sleep(0)
    assert trusts() <= kept + 2


def trusts() -> int:
    return sum(isinstance(one, CountTrust) for one in gc.get_objects())
