"""When a box is greeted and woken, over random schedules."""

from __future__ import annotations

import math
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from lmgateway.boxes.presence import Presence
from tests.support.properties import often

WAKE_SECONDS = 40.0
# Sums of these are exact, so comparisons are too.
quarters = st.integers(0, 8).map(lambda quarter: quarter / 4)
pauses = quarters | st.sampled_from([2.0, 5.0, 9.75, 10.0, 45.0, 61.0, 700.0])
events = st.sampled_from(["used", "refused", "answered", "wake", "nothing"])
idle_times = st.sampled_from([0.5, 7.0, 30.0, 600.0, math.inf])


class Outcome(NamedTuple):
    is_answer: bool
    seconds: float


outcomes = st.builds(Outcome, st.booleans(), quarters)
schedules = st.lists(st.tuples(pauses, events), max_size=30)


class World:
    """A box, whoever greets it in time, and what was seen. Nothing here reads the box's private state."""

    def __init__(self, idle_seconds: float, outcomes: list[Outcome]) -> None:
        self.now, self.idle_seconds = 0.0, idle_seconds
        self.box = Presence(idle_seconds, 0.0)
        self.outcomes = outcomes
        self.greeted, self.packets = list[float](), list[float]()
        self.used_at, self.wake_ends = 0.0, -1.0
        # Since the last answer, outside of wakes.
        self.failures = 0
        self.was_woken = False

    def act(self, event: str) -> None:
        match event:
            case "used":
                self.box.used(self.now)
                self.used_at = self.now
            case "refused":
                before = self.box.state
                self.box.refused(self.now)
                self.used_at = self.now
                assert self.box.state == before
            case "answered":
                self.answer()
            case "wake":
                self.box.wake(self.now, WAKE_SECONDS)
                self.used_at, self.wake_ends, self.was_woken = self.now, self.now + WAKE_SECONDS, True
                assert self.box.state == "waking"
        if event in {"used", "refused"} and self.box.state != "waking":
            assert not self.box.is_idle(self.now)

    def answer(self) -> None:
        if self.now < self.wake_ends:
            self.used_at, self.wake_ends = self.now, -1.0
        self.box.answered(self.now)
        self.failures, self.was_woken = 0, False
        assert self.box.state == "up"

    @property
    def is_idle(self) -> bool:
        if self.now < self.wake_ends:
            return False
        return self.now - max(self.used_at, self.wake_ends) >= self.idle_seconds

    def run(self, until: float) -> None:
        """Greet the box and send packets whenever they are due."""
        while True:
            assert self.box.is_idle(self.now) == self.is_idle
            greeting, packet = self.box.next_greeting(self.now), self.box.next_packet(self.now)
            if self.is_idle:
                assert (greeting, packet) == (None, None)
            self.check_waiting(greeting)
            at = min((max(at, self.now) for at in (greeting, packet) if at is not None), default=math.inf)
            if at > until:
                self.now = max(self.now, until)
                return
            self.now = at
            # The wait may have ended a wake, or begun an idle time: the next round asks again.
            if packet is not None and packet <= self.now and self.box.next_packet(self.now) == packet:
                self.send_packet()
            elif greeting is not None and self.box.next_greeting(self.now) == greeting:
                self.greet()

    def check_waiting(self, greeting: float | None) -> None:
        """While nothing happens, the next greeting is never due sooner than was said, or after being none."""
        # A wake that ends between these moments is such a change; it only makes it later.
        for later in (0.25, 1.0, 3.0, 20.0, 100.0, 1000.0):
            if self.now < self.wake_ends <= self.now + later:
                return
            then = self.box.next_greeting(self.now + later)
            assert then is None or (greeting is not None and then >= greeting)
            greeting = then

    def send_packet(self) -> None:
        assert self.box.state == "waking"
        assert self.now < self.wake_ends
        self.packets.append(self.now)
        self.box.packet_sent(self.now)

    def greet(self) -> None:
        assert not self.is_idle
        if self.greeted:
            assert self.now - self.greeted[-1] >= 2.0
        self.greeted.append(self.now)
        self.box.greeting_began(self.now)
        outcome = self.outcomes.pop() if self.outcomes else Outcome(False, 2.0)
        self.now += outcome.seconds
        if outcome.is_answer:
            self.answer()
            return
        self.box.failed(self.now)
        if self.now < self.wake_ends:
            assert self.box.state == "waking"
        else:
            self.failures += 1
            assert (self.box.state == "down") is (self.was_woken or self.failures >= 2)


@often
@given(idle_times, st.lists(outcomes, max_size=60), schedules)
def test_a_box_is_greeted_in_time_and_never_when_it_is_idle(
    idle_seconds: float, outcomes: list[Outcome], schedule: list[tuple[float, str]]
) -> None:
    """Greetings are at least 2 s apart; two failures are down, and an answer is up."""
    world = World(idle_seconds, outcomes)
    for pause, event in schedule:
        world.run(world.now + pause)
        world.act(event)
    world.run(world.now + 3000.0)
    assert world.now >= world.wake_ends
    assert world.box.state != "waking"


@often
@given(st.lists(st.tuples(pauses, st.sampled_from(["used", "answered"])), max_size=30), quarters)
def test_a_box_in_use_is_greeted_every_ten_seconds(uses: list[tuple[float, str]], latency: float) -> None:
    """As long as it answers, whatever else it sends."""
    world = World(math.inf, [Outcome(True, latency)] * 3000)
    for pause, event in uses:
        world.run(world.now + pause)
        world.act(event)
    world.run(world.now + 30.0)
    assert len(world.greeted) >= 3
    gaps = [after - before for before, after in zip(world.greeted, world.greeted[1:], strict=False)]
    assert set(gaps) <= {10.0}


@often
@given(st.lists(pauses, min_size=1, max_size=8))
def test_packets_are_sent_every_ten_seconds(wakes: list[float]) -> None:
    """While nothing answers: from the first moment of each wake on, which a second one only prolongs."""
    world, expected = World(0.5, [Outcome(False, 0.0)] * 3000), list[float]()
    for pause in wakes:
        world.run(world.now + pause)
        begin = world.now
        if begin >= world.wake_ends:
            expected.append(begin)
        world.act("wake")
        while expected[-1] + 10.0 < world.wake_ends:
            expected.append(expected[-1] + 10.0)
    world.run(world.now + 100.0)
    assert world.packets == expected
