"""Requests over three boxes in random schedules: what must hold after every event."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from lmgateway.scheduling.bounds import Refusal
from lmgateway.scheduling.slots import Lease
from tests.scheduling.random_boxes import KEYS, MODELS, NAMES, RandomBoxes
from tests.scheduling.stations import FakeBox, request


class World(RandomBoxes):
    """What happens to requests and boxes."""

    def arrive(self, **facts: object) -> None:
        self.counts["arrived"] += 1
        outcome = self.line.arrive(request(**facts), self.now)  # type: ignore[arg-type]
        assert not isinstance(outcome, Refusal)
        self.go_on([outcome] if isinstance(outcome, Lease) else outcome)

    def pass_over(self, lease: Lease) -> None:
        """The box fails before it answers: the request goes to another one."""
        ticket = lease.ticket.passing(lease.instance.id.box)
        self.end(lease)
        self.counts["arrived"] += 1
        outcome = self.line.arrive(ticket, self.now)
        assert not isinstance(outcome, Refusal)
        self.go_on([outcome] if isinstance(outcome, Lease) else outcome)

    def go_down(self, name: str) -> None:
        """What runs there ends at once."""
        self.stations[name].box = FakeBox(is_up=False)
        self.line.machines.set_down(name, True)
        for lease in [one for one in self.line.running.values() if one.instance.id.box == name]:
            self.end(lease)
        self.go_on(self.line.dispatch(self.now))

    def come_up(self, name: str) -> None:
        """It was started again, with nothing in memory."""
        station = self.stations[name]
        if station.box.is_up:
            return
        station.box, station.life = FakeBox(), station.life + 1
        self.line.machines.set_down(name, False)
        for one in [one for one in self.line.machines.instances.values() if one.id.box == name]:
            self.go_on(self.line.remove(one, self.now))
        self.go_on(self.line.dispatch(self.now))

    def drain(self, name: str, is_draining: bool) -> None:
        self.line.machines.set_draining(name, is_draining)
        self.go_on(self.line.dispatch(self.now))


def act(boxes: World, random: Random) -> None:
    event, name = random.randrange(20), random.choice(NAMES)
    if event < 10:
        model = random.choice(MODELS)
        is_bound = random.random() < 0.1 and boxes.stations[name].knows(model)
        boxes.arrive(
            model=model,
            key=random.choice(KEYS),
            box=name if is_bound else "",
            instance=model if random.random() < 0.1 else None,
            max_wait=random.choice([60.0, 600.0, 600.0]),
            priority=random.choice(["interactive", "interactive", "background"]),
        )
    elif event < 11:
        boxes.go_down(name)
    elif event < 13:
        boxes.come_up(name)
    elif event < 14:
        boxes.drain(name, random.random() < 0.3)
    elif event < 15:
        running = [one for one in boxes.line.running.values() if not one.ticket.group.wanted.box]
        if running:
            boxes.pass_over(random.choice(running))
    else:
        boxes.wait(random.choice([0.1, 2.0, 20.0, 100.0]))
    boxes.check()


def walk(random: Random, steps: int) -> World:
    """Let so many events happen, each of which is checked, and then everything succeed."""
    boxes = World(random)
    for _ in range(steps):
        act(boxes, random)
    boxes.is_calm = True
    for name in NAMES:
        boxes.come_up(name)
        boxes.drain(name, False)
    boxes.wait(3000.0)
    assert not boxes.line.waiting
    assert not boxes.line.running
    assert not boxes.loading
    for station in boxes.stations.values():
        residency = station.residency
        assert (list(residency.loads), list(residency.swaps), residency.drains) == ([], [], False)
    return boxes


@pytest.mark.parametrize(
    "schedules", [150, pytest.param(5000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_random_schedules(schedules: int) -> None:
    """What RandomBoxes asserts, and in the end every request has run, or was refused with a reason.

    A failure is repeated with `walk(Random(seed), 40)`.
    """
    counts: Counter[str] = Counter()
    for seed in range(schedules):
        counts += walk(Random(seed), 40).counts
    assert counts["began"] > 10 * schedules
    assert counts["loads"] > 3 * schedules
    assert counts["refused"] < counts["began"] / 2, counts
    assert {"upstream_unavailable", "load_failed"} <= counts.keys()
