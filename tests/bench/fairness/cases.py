"""The promises of the line, each as scenes and the figures that they give.

The targets are part of the promise: half of the seconds means 45 to 55 %.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace

from .crowd import OTHER_MODEL, Client
from .figures import Figure, percent
from .scene import SAMPLES, Outcome, Scene

Play = Callable[[Scene], Awaitable[Outcome]]
Case = Callable[[Play, float], AsyncIterator[Figure]]
# A key that comes back: so long a window begins to show its share.
_WINDOW_SECONDS = 120.0
LOAD_SECONDS = 5.0


async def equal(play: Play, seconds: float) -> AsyncIterator[Figure]:
    """One key keeps 20 requests in line, another 4."""
    scene = Scene((Client("a", 20), Client("b", 4)), seconds)
    outcome, without = await play(scene), await play(replace(scene, has_line=False))
    yield percent(
        "equal",
        "A keeps 20 requests waiting and B 4: B's part of the seconds",
        outcome.part("b"),
        least=45,
        most=55,
        without=without.part("b"),
    )


async def shares(play: Play, seconds: float) -> AsyncIterator[Figure]:
    """One key has twice the share of the other."""
    outcome = await play(Scene((Client("a", 20, settings={"share": 2}), Client("b", 20)), seconds))
    what = "both keep 20 waiting, with shares of 2 and 1: A's part of the seconds"
    yield percent("shares", what, outcome.part("a"), least=60, most=73.3)


async def lengths(play: Play, seconds: float) -> AsyncIterator[Figure]:
    """The answers of one key are ten times as long as those of the other."""
    scene = Scene((Client("long", 10, tokens=40), Client("short", 10, tokens=4)), seconds * 2)
    outcome, without = await play(scene), await play(replace(scene, has_line=False))
    yield percent(
        "lengths",
        "A's answers are ten times as long as B's: A's part of the seconds",
        outcome.part("long"),
        least=45,
        most=55,
        without=without.part("long"),
    )
    yield Figure(
        case="lengths",
        what="… and B's answers for each of A's",
        value=_ratio(outcome),
        unit=":1",
        least=8,
        most=12,
        without=_ratio(without),
    )


async def silence(play: Play, seconds: float) -> AsyncIterator[Figure]:
    """A key that was silent for half of the time comes back."""
    back = seconds / 2
    outcome = await play(Scene((Client("worker", 10), Client("sleeper", 10, begins=back)), seconds))
    width = round(_WINDOW_SECONDS * SAMPLES / seconds)
    begin = back + _WINDOW_SECONDS
    parts = [part for at, part in outcome.parts_over_time("worker", width) if at >= begin]
    yield percent(
        "silence",
        f"a key is back from silence: the other's part of any {_WINDOW_SECONDS:.0f} s from then on, at least",
        min(parts),
        least=40,
    )


async def retries(play: Play, seconds: float) -> AsyncIterator[Figure]:
    """A client gives up when an answer isn't there after 40 s, and asks again, for ever."""
    clients = Client("patient", 6), Client("impatient", 6, patience=40.0)
    scene = Scene(clients, seconds)
    outcome = await play(scene)
    calm = await play(replace(scene, clients=(clients[0], replace(clients[1], patience=None))))
    if not outcome.tally.gave_up["impatient"]:
        raise RuntimeError("nobody gave up")
    yield percent(
        "retries",
        "B gives up after 40 s and asks again, for ever: A's part of the seconds",
        outcome.part("patient"),
        least=45,
    )
    yield Figure(
        case="retries",
        what="… and A's waits (95th percentile), compared with those beside a patient B",
        value=outcome.p95_wait("patient") / calm.p95_wait("patient"),
        unit="times",
        most=1.2,
    )


async def background(play: Play, seconds: float) -> AsyncIterator[Figure]:
    """A person asks now and then, beside a flood of background requests."""
    flood = Client("agent", 40, tokens=20, settings={"class": "background"})
    scene = Scene((flood, Client("person", 2, tokens=6, pause=5.0)), seconds)
    outcome, without = await play(scene), await play(replace(scene, has_line=False))
    yield Figure(
        case="background",
        what="40 background requests of A: B's waits (95th percentile; the target is A's longest answer)",
        value=outcome.p95_wait("person"),
        unit="s",
        most=outcome.longest,
        without=without.p95_wait("person"),
    )


async def swaps(play: Play, seconds: float) -> AsyncIterator[Figure]:
    """Three keys want one model and a fourth another one; there is room for one, and a load takes 5 s."""
    residents = tuple(Client(name, 4) for name in ("a", "b", "c"))
    clients = *residents, Client("d", 4, model=OTHER_MODEL)
    outcome = await play(Scene(clients, seconds, load_seconds=LOAD_SECONDS))
    parts = [outcome.gateway_part(client.key) for client in clients]
    what = "three keys want one model and D another one: the smallest part of the seconds, loads included"
    yield percent("swaps", what, min(parts), least=22.5)
    yield percent("swaps", "… and the largest one", max(parts), most=27.5)
    yield percent("swaps", "… and the time in which models are loaded", outcome.loading_share, most=20)
    # D's turn lasts until loads take 20 % of the time, 20 s, and an answer of 24 s longer. The others' three
    # turns are as long, and a load is at each end.
    longest = outcome.longest_wait("d")
    yield Figure(case="swaps", what="… and D's longest wait", value=longest, unit="s", most=180)
    yield _cut_off("swaps", outcome)


async def loads(play: Play, seconds: float) -> AsyncIterator[Figure]:
    """Two keys want a model each, with short answers, so the models are swapped as often as they may be."""
    clients = Client("a", 4, tokens=2), Client("b", 4, tokens=2, model=OTHER_MODEL)
    outcome = await play(Scene(clients, seconds, load_seconds=LOAD_SECONDS))
    yield percent(
        "loads",
        "A and B want a model each, with short answers: the time in which models are loaded",
        outcome.loading_share,
        most=20 + 100 * LOAD_SECONDS / seconds,
    )
    yield percent("loads", "… and B's part of the seconds", outcome.gateway_part("b"), least=45, most=55)
    yield _cut_off("loads", outcome)


async def guest(play: Play, seconds: float) -> AsyncIterator[Figure]:
    """A key asks for another model than three busy ones, once in a few minutes."""
    residents = tuple(Client(name, 4) for name in ("a", "b", "c"))
    clients = *residents, Client("d", 1, pause=120.0, model=OTHER_MODEL)
    outcome = await play(Scene(clients, seconds, load_seconds=LOAD_SECONDS))
    # `switch_after_ms`, the longest answer, the unload, which is noticed within a second, and the load.
    yield Figure(
        case="guest",
        what="D asks for another model than three busy keys, every two minutes: its longest wait",
        value=outcome.longest_wait("d"),
        unit="s",
        most=20 + outcome.longest + 1 + LOAD_SECONDS,
    )
    yield _cut_off("guest", outcome)


async def saturated(play: Play, seconds: float) -> AsyncIterator[Figure]:
    """As many requests run as there are slots, by the real clock, with a gateway in another process."""
    clients = Client("a", 20), Client("b", 4)
    scene = Scene(clients, min(seconds / 30, 60.0), token_seconds=0.25, real=True)
    outcome = await play(scene)
    yield percent(
        "saturated",
        "requests always wait: the time in which LM Studio has a free slot",
        outcome.free_seconds / outcome.took,
        most=1,
    )
    yield percent(
        "saturated",
        "… and `lmgateway_free_while_waiting_seconds_total`",
        outcome.free_while_waiting / outcome.took,
        most=1,
    )
    yield percent("saturated", "… and B's part of the seconds", outcome.part("b"), least=45, most=55)


CASES: Mapping[str, Case] = {
    case.__name__: case
    for case in (equal, shares, lengths, silence, retries, background, swaps, loads, guest, saturated)
}


def _cut_off(case: str, outcome: Outcome) -> Figure:
    what = "… and the answers that were cut off"
    return Figure(case=case, what=what, value=outcome.cut_off, unit="", most=0)


def _ratio(outcome: Outcome) -> float:
    answered = outcome.tally.answered
    return answered["short"] / answered["long"]
