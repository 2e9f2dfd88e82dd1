"""The report of the line by example, in milliseconds."""

from __future__ import annotations

import msgspec

from lmgateway.scheduling.durations import Durations
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.report import figures, report
from lmgateway.scheduling.shares import MAX_IDLE_ROWS
from lmgateway.scheduling.slots import InstanceId
from lmgateway.scheduling.tickets import Terms
from lmgateway.schema.debug import Phase
from lmgateway.schema.queue import KeyShare, QueueReport
from tests.scheduling.schedule import MODEL, ticket
from tests.scheduling.test_line import arrive, finish, line

ID = InstanceId("lmstudio", MODEL)


def seen(of: Line, now: float, durations: Durations | None = None) -> QueueReport:
    phases: dict[str, Phase] = {one.ticket.request_id: "prompt" for one in of.running.values()}
    return report(of, now, durations=durations or Durations(), phases=phases)


def rows(of: Line, now: float) -> list[tuple[object, ...]]:
    """The rows of the keys: who, what runs and waits, and the milliseconds."""
    return [
        tuple(value for name, value in msgspec.to_builtins(row).items() if name != "share")
        for row in seen(of, now).keys
    ]


def test_the_report_has_the_fields_of_the_contract() -> None:
    """Clients of /debug/queue read these names."""
    made = line(1)
    requests = [ticket("alice"), ticket("bob", user="ann", priority="background")]
    arrive(made, *requests)
    durations = Durations()
    durations.learn(MODEL, 10.0)
    first, second = (request.request_id for request in requests)
    assert msgspec.json.encode(seen(made, 4.0, durations)).decode() == (
        '{"instances":[{"box":"lmstudio","instance":"qwen","model":"qwen","state":"resident","slots":1,"ours":1,'
        '"outside":0,"idleMs":0,"pinned":false,"origin":"outside"}],'
        f'"waiting":[{{"requestId":"{second}","key":"bob","user":"ann","class":"background","model":"qwen",'
        '"reason":"slot","ahead":0,"waitedMs":4000,"etaMs":6000}],'
        f'"running":[{{"requestId":"{first}","key":"alice","model":"qwen","box":"lmstudio","phase":"prompt",'
        '"gpuMs":4000}],'
        '"keys":[{"key":"alice","share":1.0,"running":1,"waiting":0,"gpuMs":4000,"behindMs":0},'
        '{"key":"bob","user":"ann","share":1.0,"running":0,"waiting":1,"gpuMs":0,"behindMs":0}],'
        '"swap":null}'
    )


def test_an_idle_instance_says_for_how_long() -> None:
    """Since it was first seen at 0 s, or since its last request ended; while one runs it is 0."""
    made, request = line(2), ticket()
    assert seen(made, 5.0).instances[0].idle_ms == 5000
    arrive(made, request, now=5.0)
    assert seen(made, 6.0).instances[0].idle_ms == 0
    finish(made, request, 7.0)
    assert seen(made, 9.0).instances[0].idle_ms == 2000


def test_a_model_that_isnt_in_memory_is_shown_only_while_it_is_asked_for() -> None:
    """It stands in line with the usual slots, but a row of it would look as if it were loaded."""
    made, request = Line(), ticket()
    assert seen(made, 0.0).instances == []
    arrive(made, request)
    assert [(one.model, one.state, one.ours) for one in seen(made, 1.0).instances] == [(MODEL, "loading", 1)]
    assert figures(made, 1.0).slots == {}
    finish(made, request, 2.0)
    assert seen(made, 3.0).instances == []


def test_a_request_whose_client_left_lingers() -> None:
    """It has no exchange any more, so no phase of one is asked for."""
    made, request = line(), ticket()
    arrive(made, request)
    made.linger(made.running[request], 60.0, 1.0)
    assert [one.phase for one in seen(made, 2.0).running] == ["lingering"]


def test_all_that_wait_for_their_key_say_so() -> None:
    """The line looks no further than the first of them."""
    made = line(4, terms=Terms(running=1), key="alice")
    arrive(made, *[ticket("alice") for _ in range(3)])
    assert [one.reason for one in seen(made, 1.0).waiting] == ["key_limit", "key_limit"]


def test_what_keys_have_had_adds_up_to_the_busy_time() -> None:
    """Two run for 10 s, so each has 5 s; then one of others joins one of them: 3 s each of 6."""
    made, alice, bob = line(4, terms=Terms(share=2.0), key="alice"), ticket("alice"), ticket("bob")
    arrive(made, alice, bob)
    finish(made, alice, 10.0)
    made.observe(made.machines.instances[ID], 2, 10.0)
    # Alice has had 5 s, by her share 2.5; but idle, she would begin at bob's 8.
    assert rows(made, 16.0) == [
        ("alice", 0, 0, 5000, 0),
        ("bob", 1, 0, 8000, 0),
        ("(outside)", 1, 0, 3000, 0),
    ]
    counted = figures(made, 16.0)
    assert counted.gpu_seconds == {"alice": 5.0, "bob": 8.0, "(outside)": 3.0}
    assert counted.busy_seconds == 16.0
    assert counted.free_while_waiting_seconds == 0.0


def test_a_key_is_behind_by_its_share() -> None:
    """Alice pays 4 s of hers half, and both are level when they begin."""
    made = line(2, terms=Terms(share=2.0), key="alice")
    arrive(made, ticket("alice"), ticket("bob"))
    assert rows(made, 8.0) == [("alice", 1, 0, 4000, 2000), ("bob", 1, 0, 4000, 0)]


def test_the_addresses_of_the_only_caller_are_rows() -> None:
    """And add up to the time of its key in the metrics."""
    made = line(1)
    first, second = (ticket("owner", address=f"192.168.1.{number}") for number in (5, 6))
    arrive(made, first, second)
    assert rows(made, 6.0) == [
        ("owner", "192.168.1.5", 1, 0, 6000, 0),
        ("owner", "192.168.1.6", 0, 1, 0, 6000),
    ]
    assert figures(made, 6.0).gpu_seconds == {"owner": 6.0, "(outside)": 0.0}


def test_the_users_of_a_key_are_rows() -> None:
    """What the key had before it had users is in a row of its own."""
    made, before = line(1), ticket("app")
    arrive(made, before)
    finish(made, before, 5.0)
    arrive(made, ticket("app", user="ann"), ticket("app", user="ben"), now=5.0)
    assert rows(made, 9.0) == [
        ("app", "ann", 1, 0, 4000, 0),
        ("app", "ben", 0, 1, 0, 4000),
        ("app", 0, 0, 5000, 0),
    ]


def test_idle_addresses_dont_fill_the_report() -> None:
    """The newest are shown, and the time of the others is in the row of their key."""
    made = line(1)
    for number in range(MAX_IDLE_ROWS + 50):
        request = ticket("anyone", address=str(number))
        arrive(made, request, now=number)
        finish(made, request, number + 1)
    found = seen(made, 1000.0).keys
    assert len(found) == MAX_IDLE_ROWS + 1
    assert isinstance(found[-1], KeyShare)
    assert (found[-1].key, found[-1].gpu_ms) == ("anyone", 50_000)
