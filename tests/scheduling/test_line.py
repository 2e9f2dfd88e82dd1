"""The line by example: who runs, who waits and why, and what is refused."""

from __future__ import annotations

import pytest

from lmgateway.scheduling.bounds import DEFAULT_BOUNDS, Bounds
from lmgateway.scheduling.line import UNLIMITED, Line
from lmgateway.scheduling.tickets import Terms, Ticket
from tests.scheduling import schedule
from tests.scheduling.schedule import instance, ticket


def line(
    slots: int = 4,
    *,
    context: int | None = None,
    bounds: Bounds = DEFAULT_BOUNDS,
    terms: Terms = UNLIMITED,
    key: str = "large",
) -> Line:
    """`terms` are those of `key`."""
    made = Line(bounds, terms=lambda name: terms if name == key else UNLIMITED)
    made.put(instance(slots, context=context), 0.0)
    return made


def arrive(of: Line, *tickets: Ticket, now: float = 0.0) -> list[str]:
    """Return the ids of those that may run."""
    return [lease.ticket.request_id for one in tickets for lease in schedule.arrive(of, one, now)]


def finish(of: Line, request: Ticket, now: float) -> list[str]:
    """Return the ids of those that may run after this one."""
    return [lease.ticket.request_id for lease in of.release(of.running[request], now)]


def reason(of: Line, request: Ticket) -> str:
    return of.waiting[request].reason


def test_no_more_run_than_there_are_slots() -> None:
    """The rest waits for a slot, and gets it in the order of arrival."""
    made, requests = line(2), [ticket() for _ in range(4)]
    assert arrive(made, *requests) == [requests[0].request_id, requests[1].request_id]
    assert [reason(made, request) for request in requests[2:]] == ["slot", "slot"]
    assert finish(made, requests[1], 1.0) == [requests[2].request_id]
    assert finish(made, requests[0], 2.0) == [requests[3].request_id]
    assert not made.waiting


def test_the_key_that_had_the_least_is_next() -> None:
    """Not the one that asked first: alice has used the machine for ten seconds."""
    made = line(1)
    first, second, third = ticket("alice"), ticket("alice"), ticket("bob")
    arrive(made, first, second, now=0.0)
    arrive(made, third, now=9.0)
    # Bob begins level with the least of the active, which is alice with 9 s; she has had 10 s in the end.
    assert finish(made, first, 10.0) == [third.request_id]
    assert finish(made, third, 15.0) == [second.request_id]


def test_idle_time_saves_nothing_up() -> None:
    """A key that slept for an hour doesn't get an hour before the others."""
    made = line(1)
    sleeper, worker = ticket("sleeper"), ticket("worker")
    arrive(made, sleeper, now=0.0)
    finish(made, sleeper, 1.0)
    arrive(made, worker, now=1.0)
    more = [ticket("worker") for _ in range(2)]
    arrive(made, *more, now=3600.0)
    back = [ticket("sleeper") for _ in range(2)]
    arrive(made, *back, now=3600.0)
    # Both have 3,599 s now, and worker gets 10 more; so sleeper is next, once.
    assert finish(made, worker, 3610.0) == [back[0].request_id]
    assert finish(made, back[0], 3625.0) == [more[0].request_id]


def test_a_share_of_two_gets_twice_the_time() -> None:
    """Its account grows by half of the seconds that it used."""
    made = line(1, terms=Terms(2.0))
    large = [ticket("large") for _ in range(3)]
    small = [ticket("small") for _ in range(2)]
    arrive(made, large[0], *large[1:], *small)
    # 10 s of large are 5; then small has 10, large runs twice until it has had 15 > 10.
    assert finish(made, large[0], 10.0) == [small[0].request_id]
    assert finish(made, small[0], 20.0) == [large[1].request_id]
    assert finish(made, large[1], 30.0) == [large[2].request_id]


def test_interactive_requests_go_before_background_ones() -> None:
    """Also if the background's key has had less."""
    made = line(1)
    running, background = ticket("alice"), ticket("bob", priority="background")
    interactive = ticket("alice")
    arrive(made, running, background, interactive)
    assert finish(made, running, 60.0) == [interactive.request_id]


@pytest.mark.parametrize(("max_wait", "promoted"), [(600.0, 120.0), (100.0, 50.0)])
def test_a_background_request_counts_as_interactive_after_two_minutes(
    max_wait: float, promoted: float
) -> None:
    """Or after half of its own limit, if that is shorter."""
    made = line(1)
    running = ticket("alice")
    background = ticket("bob", priority="background", max_wait=max_wait)
    interactive = [ticket("alice") for _ in range(2)]
    arrive(made, running, background, *interactive)
    assert finish(made, running, promoted - 1) == [interactive[0].request_id]
    assert finish(made, interactive[0], promoted) == [background.request_id]


def test_background_requests_leave_the_last_slot_free() -> None:
    """Of an instance that has two or more; promoted ones may take it."""
    made = line(2)
    background = [ticket(priority="background", max_wait=600.0) for _ in range(3)]
    assert arrive(made, *background) == [background[0].request_id]
    assert made.due() == 120.0
    _, let_in = made.tick(120.0)
    assert [lease.ticket.request_id for lease in let_in] == [background[1].request_id]
    single = line(1)
    assert len(arrive(single, ticket(priority="background"))) == 1


def test_no_key_takes_all_slots_while_another_is_about() -> None:
    """One stays free for ten minutes after the other's last request."""
    made = line(3)
    guest = ticket("guest")
    arrive(made, guest, now=0.0)
    finish(made, guest, 10.0)
    swarm = [ticket("agent") for _ in range(4)]
    assert len(arrive(made, *swarm, now=10.0)) == 2
    question = ticket("guest")
    assert arrive(made, question, now=20.0) == [question.request_id]
    finish(made, question, 30.0)
    assert len(made.tick(629.0)[1]) == 0
    assert len(made.tick(630.0)[1]) == 1


def test_one_key_alone_takes_all_slots() -> None:
    made = line(3)
    assert len(arrive(made, *(ticket("agent") for _ in range(4)))) == 3


def test_a_keys_own_limit_makes_wait() -> None:
    """`limits.running`, over all its requests."""
    made = line(4, terms=Terms(1.0, 1))
    requests = [ticket("large") for _ in range(2)]
    arrive(made, *requests)
    assert reason(made, requests[1]) == "key_limit"
    assert finish(made, requests[0], 1.0) == [requests[1].request_id]


def test_a_model_that_is_not_loaded_counts_as_one_instance_with_the_usual_slots() -> None:
    """Four for text, one for embeddings; nothing is left of it when nothing runs on it."""
    made = line()
    text = [ticket(model="llama") for _ in range(5)]
    embeddings = [ticket(model="bge", kind="embedding") for _ in range(2)]
    assert arrive(made, *text, *embeddings) == [one.request_id for one in (*text[:4], embeddings[0])]
    for one in (*text, *embeddings):
        finish(made, one, 1.0)
    assert [one.id.name for one in made.machines.instances.values()] == ["qwen"]


def test_a_model_that_is_unloaded_gets_no_more_than_the_usual_slots() -> None:
    """What runs on it ends in its own way, and counts until then."""
    made = line(1)
    requests = [ticket() for _ in range(6)]
    arrive(made, *requests)
    [here] = made.machines.instances.values()
    assert made.remove(here, 1.0) == []
    assert finish(made, requests[0], 2.0) == [one.request_id for one in requests[1:5]]


def test_slots_of_others_are_left_to_them() -> None:
    """But at least one is the gateway's."""
    made = line(2)
    [here] = made.machines.instances.values()
    made.observe(here, 5, 0.0)
    requests = [ticket() for _ in range(2)]
    assert arrive(made, *requests) == [requests[0].request_id]
    assert len(made.observe(here, 1, 1.0)) == 1


def test_a_client_that_left_in_its_prompt_holds_its_slot() -> None:
    """Until LM Studio counts it no more, or its time is over."""
    for is_observed in (True, False):
        made = line(1)
        gone, waiting = ticket("alice"), ticket("bob")
        arrive(made, gone, waiting)
        made.linger(made.running[gone], 30.0, 5.0)
        assert made.due() == 30.0
        assert reason(made, waiting) == "slot"
        [here] = made.machines.instances.values()
        let_in = made.observe(here, 0, 10.0) if is_observed else made.tick(30.0)[1]
        assert [lease.ticket.request_id for lease in let_in] == [waiting.request_id]
        # It pays until then.
        assert made.accounts.seconds()["alice"] == pytest.approx(10.0 if is_observed else 30.0)


def test_passing_time_is_split_evenly_among_what_runs() -> None:
    """Alice runs two of three for 9 s; others outside the gateway run one of four for 4 s."""
    made = line(4)
    arrive(made, ticket("alice"), ticket("alice"), ticket("bob"))
    [here] = made.machines.instances.values()
    made.observe(here, 4, 9.0)
    made.tick(13.0)
    seconds = {account.key: standing.seconds for account, standing in made.accounts.standings()}
    assert seconds == {"alice": pytest.approx(8.0), "bob": pytest.approx(4.0)}
    assert made.accounts.outside_seconds == pytest.approx(1.0)
    assert made.accounts.busy_seconds == pytest.approx(13.0)


def test_the_turn_of_a_key_is_split_among_its_users() -> None:
    """The one with the least is next, within the key's turn."""
    made = line(1)
    anna = [ticket("webui", user="anna") for _ in range(3)]
    bert = ticket("webui", user="bert")
    arrive(made, *anna, bert)
    assert finish(made, anna[0], 10.0) == [bert.request_id]


def test_addresses_have_accounts_of_their_own() -> None:
    """While all requests are of one key."""
    made = line(1)
    first = [ticket("owner", address="10.0.0.1") for _ in range(2)]
    second = ticket("owner", address="10.0.0.2")
    arrive(made, *first, second)
    assert finish(made, first[0], 10.0) == [second.request_id]
    assert made.accounts.seconds() == {"owner": pytest.approx(10.0)}


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        (Bounds(waiting=2), "queue_full"),
        (Bounds(waiting_bytes=25), "queue_full"),
        (Bounds(waiting_per_key=2), "key_queue_full"),
    ],
)
def test_a_full_line_refuses(bounds: Bounds, code: str) -> None:
    """At once, and a refused request leaves nothing behind."""
    made = line(1, bounds=bounds)
    requests = [ticket(body_bytes=10) for _ in range(4)]
    arrive(made, *requests[:3])
    assert made.arrive(requests[3], 1.0) == (code, [])
    assert len(made.waiting) == 2
    assert finish(made, requests[0], 2.0) == [requests[1].request_id]


def test_a_request_that_could_run_is_not_refused() -> None:
    """A full line is no reason to refuse a request that needn't wait."""
    made = line(2, bounds=Bounds(waiting=1))
    arrive(made, ticket("guest"), *(ticket("agent") for _ in range(2)))
    [guest, *_] = made.running.values()
    made.release(guest, 1.0)
    question = ticket("guest")
    assert arrive(made, question, now=2.0) == [question.request_id]


def test_a_request_waits_no_longer_than_its_limit() -> None:
    """It is out of the line then, and others behind it aren't held up."""
    made = line(1)
    requests = [ticket(), ticket(max_wait=240.0), ticket()]
    arrive(made, *requests)
    assert made.due() == 240.0
    expired, let_in = made.tick(240.0)
    assert ([waiter.ticket for waiter in expired], let_in) == ([requests[1]], [])
    assert finish(made, requests[0], 250.0) == [requests[2].request_id]


def test_leaving_the_line_leaves_nothing() -> None:
    made = line(1)
    requests = [ticket("alice"), ticket("bob"), ticket("carol")]
    arrive(made, *requests)
    assert made.leave(requests[1], 1.0) == []
    assert finish(made, requests[0], 2.0) == [requests[2].request_id]
    assert finish(made, requests[2], 3.0) == []
    assert (len(made.waiting), made.running, list(made.accounts.active)) == (0, {}, [])


# 3 bytes a token at first; usual answers 1,024 tokens, at most a quarter of context ÷ slots.
def test_a_shared_context_is_not_filled_beyond_its_length() -> None:
    """Two prompts of 6,000 tokens don't run beside each other in 10,000; one alone always may."""
    made = line(4, context=10_000)
    large = [ticket(prompt_bytes=18_000, max_tokens=100) for _ in range(2)]
    arrive(made, *large)
    assert reason(made, large[1]) == "context"
    small = ticket(prompt_bytes=300, max_tokens=100)
    assert arrive(made, small, now=1.0) == [small.request_id]
    finish(made, small, 2.0)
    assert finish(made, large[0], 3.0) == [large[1].request_id]
    alone = line(4, context=1000)
    assert len(arrive(alone, ticket(prompt_bytes=300_000))) == 1


def test_a_request_that_was_overtaken_for_long_lets_nobody_else_in() -> None:
    """After 30 s the context drains for it."""
    made = line(4, context=10_000)
    large = [ticket("alice", prompt_bytes=18_000, max_tokens=100) for _ in range(2)]
    arrive(made, *large)
    small = [ticket("bob", prompt_bytes=300, max_tokens=100) for _ in range(3)]
    arrive(made, small[0], now=10.0)
    arrive(made, small[1], now=39.0)
    assert made.due() == 40.0
    arrive(made, small[2], now=41.0)
    assert reason(made, small[2]) == "context"
    assert finish(made, small[0], 42.0) == []
    assert finish(made, large[0], 50.0) == [large[1].request_id, small[2].request_id]
