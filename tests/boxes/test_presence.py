"""Whether a box is up, and when it is greeted and woken: one case at a time."""

from __future__ import annotations

import math

import pytest

from lmgateway.boxes.presence import Presence

IDLE = 600.0


def is_due(box: Presence, now: float) -> bool:
    due = box.next_greeting(now)
    return due is not None and due <= now


def greet(box: Presence, at: float, *, fails_after: float | None = None) -> None:
    """Send a greeting at this time; it is answered at once, or fails so many seconds later."""
    assert is_due(box, at)
    box.greeting_began(at)
    if fails_after is None:
        box.answered(at)
    else:
        box.failed(at + fails_after)


def down_box(idle_seconds: float = IDLE) -> Presence:
    """It was found to be down at 2."""
    box = Presence(idle_seconds, 0.0)
    greet(box, 0.0, fails_after=0.0)
    greet(box, 2.0, fails_after=0.0)
    assert box.state == "down"
    return box


def greetings(box: Presence, now: float, until: float) -> list[float]:
    """When it is greeted without an answer, by somebody who is always in time."""
    sent = list[float]()
    while (due := box.next_greeting(now)) is not None and due <= until:
        now = max(now, due)
        sent.append(now)
        greet(box, now, fails_after=0.0)
    return sent


# ── Up ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_greeting_is_due_at_the_start() -> None:
    """Until its outcome nothing is known, and requests may go there."""
    box = Presence(IDLE, 5.0)
    assert (box.state, box.next_greeting(5.0)) == ("unknown", 5.0)


def test_a_box_in_use_is_greeted_every_ten_seconds() -> None:
    box = Presence(IDLE, 0.0)
    for at in (0.0, 10.0, 20.0):
        box.used(at)
        assert box.next_greeting(at) == at
        greet(box, at)
        assert (box.state, box.next_greeting(at)) == ("up", at + 10)


def test_a_late_greeting_delays_the_next_one() -> None:
    """Ten seconds since the last one, however late that was."""
    box = Presence(IDLE, 0.0)
    greet(box, 7.0)
    assert box.next_greeting(7.0) == 17.0


def test_an_idle_box_is_left_alone_and_greeted_at_once_when_it_is_used() -> None:
    box = Presence(IDLE, 0.0)
    greet(box, 0.0)
    assert box.next_greeting(595.0) == 10.0
    greet(box, 595.0)
    assert (box.is_idle(599.9), box.next_greeting(599.9)) == (False, None)
    assert (box.is_idle(600.0), box.next_greeting(600.0), box.state) == (True, None, "up")
    box.used(601.0)
    assert (box.is_idle(601.0), box.next_greeting(601.0)) == (False, 601.0)
    greet(box, 601.0)
    assert box.next_greeting(601.0) == 611.0


def test_answers_are_no_use() -> None:
    """Otherwise the greetings themselves would keep a box from becoming idle."""
    box = Presence(IDLE, 0.0)
    for at in range(0, 600, 10):
        greet(box, float(at))
    assert box.next_greeting(590.0) is None
    box.answered(599.9)
    assert box.is_idle(600.0)


def test_without_an_idle_time_a_box_is_never_idle() -> None:
    box = Presence(math.inf, 0.0)
    greet(box, 0.0)
    assert (box.is_idle(1e9), box.next_greeting(1e9)) == (False, 10.0)


# ── Failures ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["unknown", "up"])
def test_two_failures_in_a_row_are_down(state: str) -> None:
    """The second greeting is sent 2 s after the first has failed, so a frozen box is known after seconds."""
    box = Presence(IDLE, 0.0)
    if state == "up":
        greet(box, 0.0)
    began = box.next_greeting(0.0) or 0.0
    greet(box, began, fails_after=2.0)
    assert (box.state, box.next_greeting(began + 2)) == (state, began + 4)
    greet(box, began + 4, fails_after=2.0)
    assert box.state == "down"


def test_bytes_between_two_failures_keep_it_up() -> None:
    """A busy box may be late with its greetings, as long as it sends something."""
    box = Presence(IDLE, 0.0)
    greet(box, 0.0)
    for at in (10.0, 20.0, 30.0):
        greet(box, at, fails_after=2.0)
        box.answered(at + 2.5)
        assert (box.state, box.next_greeting(at + 2.5)) == ("up", at + 10)


def test_a_refused_request_has_it_greeted_soon_and_is_no_failure() -> None:
    box = Presence(IDLE, 0.0)
    greet(box, 0.0)
    for at in (5.0, 5.1):
        box.refused(at)
    assert (box.state, box.next_greeting(5.1)) == ("up", 5.0)
    greet(box, 5.1, fails_after=0.0)
    assert box.state == "up"


def test_greetings_are_two_seconds_apart_whatever_is_refused() -> None:
    box = Presence(IDLE, 0.0)
    greet(box, 0.0)
    box.refused(0.5)
    assert box.next_greeting(0.5) == 2.0


def test_an_idle_box_that_refuses_a_request_is_greeted() -> None:
    """Somebody needs it."""
    box = Presence(IDLE, 0.0)
    greet(box, 0.0)
    box.refused(700.0)
    assert (box.is_idle(700.0), is_due(box, 700.0)) == (False, True)


# ── Down ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_box_that_is_down_is_greeted_less_and_less() -> None:
    """Every 5 s for a minute and every minute for ten, from 2 on; then not at all."""
    box = down_box(math.inf)
    expected = [*range(7, 63, 5), *range(122, 663, 60)]
    assert greetings(box, 2.0, 1e6) == expected
    assert (len(expected), box.next_greeting(1e9), box.state) == (22, None, "down")


def test_a_box_that_is_down_and_idle_is_left_alone() -> None:
    box = down_box(idle_seconds=30.0)
    assert greetings(box, 2.0, 1e6) == [7.0, 12.0, 17.0, 22.0, 27.0]
    assert box.is_idle(30.0)


def test_each_use_of_a_box_that_is_down_has_it_greeted_once() -> None:
    """After the eleven minutes; but not more often than every 5 s."""
    box = down_box(math.inf)
    greetings(box, 2.0, 1e6)
    box.used(2000.0)
    box.used(2000.5)
    assert box.next_greeting(2000.5) == 2000.0
    greet(box, 2000.5, fails_after=0.1)
    assert box.next_greeting(3000.0) is None
    box.used(3000.0)
    greet(box, 3000.0, fails_after=0.0)
    for at in (3001.0, 3002.0):
        box.used(at)
        assert box.next_greeting(at) == 3005.0


def test_a_use_in_the_minutes_between_has_it_greeted_at_once() -> None:
    box = down_box()
    assert greetings(box, 2.0, 122.0)[-1] == 122.0
    box.used(150.0)
    assert box.next_greeting(150.0) == 150.0
    greet(box, 150.0, fails_after=0.0)
    assert box.next_greeting(150.0) == 210.0


def test_a_box_that_answers_is_up_again_and_may_fail_once() -> None:
    box = down_box()
    greet(box, 7.0)
    assert (box.state, box.next_greeting(7.0)) == ("up", 17.0)
    greet(box, 17.0, fails_after=0.0)
    assert box.state == "up"


def test_going_down_again_begins_with_the_five_seconds() -> None:
    box = down_box(math.inf)
    greetings(box, 2.0, 400.0)
    box.answered(500.0)
    greet(box, 500.0, fails_after=0.0)
    greet(box, 502.0, fails_after=0.0)
    assert (box.state, box.next_greeting(502.0)) == ("down", 507.0)


def test_a_request_refused_before_it_was_down_has_no_extra_greeting_sent() -> None:
    """The second greeting, which was on its way, has answered the question."""
    box = Presence(IDLE, 0.0)
    greet(box, 0.0, fails_after=0.0)
    box.greeting_began(2.0)
    box.refused(3.0)
    box.failed(4.0)
    assert (box.state, box.next_greeting(4.0)) == ("down", 7.0)


# ── Waking ─────────────────────────────────────────────────────────────────────────────────────────────────


def wake(box: Presence, begin: float, seconds: float) -> tuple[list[float], list[float]]:
    """The packets and the greetings of a wake in vain."""
    box.wake(begin, seconds)
    packets, greeted, now = list[float](), list[float](), begin
    while box.state == "waking":
        packet, greeting, end = box.next_packet(now), box.next_greeting(now), box.wake_until
        assert greeting is not None
        assert end is not None
        now = max(now, min(at for at in (packet, greeting, end) if at is not None))
        if packet is not None and packet <= now:
            packets.append(now)
            box.packet_sent(now)
        elif greeting <= now and now < end:
            greeted.append(now)
            greet(box, now, fails_after=0.0)
        else:
            box.is_idle(now)
    return packets, greeted


def test_a_wake_sends_a_packet_every_ten_seconds_and_greets_every_two() -> None:
    box = down_box()
    packets, greeted = wake(box, 100.0, 30.0)
    assert packets == [100.0, 110.0, 120.0]
    assert greeted == [float(at) for at in range(100, 130, 2)]


def test_a_wake_in_vain_ends_in_down() -> None:
    """And the greetings of a box that is down begin anew: it may be slow."""
    box = down_box()
    wake(box, 100.0, 30.0)
    assert (box.state, box.wake_until, box.next_packet(130.0)) == ("down", None, None)
    assert box.next_greeting(130.0) == 133.0
    assert greetings(box, 130.0, 150.0) == [133.0, 138.0, 143.0, 148.0]


@pytest.mark.parametrize("ask", ["is_idle", "next_greeting", "next_packet", "used", "failed", "refused"])
def test_a_wake_has_timed_out_for_whatever_is_asked(ask: str) -> None:
    box = down_box()
    box.wake(100.0, 30.0)
    assert (box.state, box.wake_until) == ("waking", 130.0)
    getattr(box, ask)(130.0)
    assert (box.state, box.wake_until) == ("down", None)


def test_an_answer_ends_the_wake() -> None:
    box = down_box()
    box.wake(100.0, 30.0)
    box.packet_sent(100.0)
    greet(box, 104.0)
    assert (box.state, box.wake_until, box.next_packet(104.0)) == ("up", None, None)
    assert box.next_greeting(104.0) == 114.0
    # Not even when it would have timed out.
    assert (box.is_idle(130.0), box.state) == (False, "up")


def test_an_answer_after_the_wake_counts_too() -> None:
    box = down_box()
    box.wake(100.0, 30.0)
    box.answered(140.0)
    assert box.state == "up"


def test_a_second_wake_prolongs_the_first() -> None:
    """Its packets go on every ten seconds. A shorter one changes nothing."""
    box = down_box()
    box.wake(100.0, 30.0)
    box.packet_sent(100.0)
    box.wake(105.0, 30.0)
    assert (box.wake_until, box.next_packet(105.0)) == (135.0, 110.0)
    box.wake(106.0, 1.0)
    assert box.wake_until == 135.0


def test_a_wake_is_use_for_as_long_as_it_lasts() -> None:
    """Somebody waits for it, however short the idle time is."""
    box = Presence(3.0, 0.0)
    box.wake(0.0, 60.0)
    assert (box.is_idle(50.0), box.next_packet(50.0)) == (False, 0.0)
    box.answered(50.0)
    assert not box.is_idle(52.9)
    assert box.is_idle(53.0)


def test_a_box_that_counts_as_up_can_be_woken() -> None:
    """It may have fallen asleep while it was left alone."""
    box = Presence(IDLE, 0.0)
    greet(box, 0.0)
    box.wake(3600.0, 120.0)
    assert (box.state, box.next_packet(3600.0), is_due(box, 3600.0)) == ("waking", 3600.0, True)
    for at in (3600.0, 3602.0, 3604.0):
        greet(box, at, fails_after=2.0)
    assert box.state == "waking"


def test_no_packet_is_due_when_the_wake_ends() -> None:
    box = down_box()
    box.wake(100.0, 10.0)
    box.packet_sent(100.0)
    assert box.next_packet(100.0) is None
