"""An instance's identifier may become another model's while requests wait for it and run on it."""

from __future__ import annotations

from lmgateway.boxes.listing import KnownModel, Listing
from lmgateway.config import Config
from lmgateway.scheduling.instances import Instances
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.slots import InstanceId
from lmgateway.scheduling.tickets import Terms
from tests.scheduling.schedule import ticket
from tests.scheduling.test_line import arrive, finish

HERE = InstanceId("lmstudio", "mine")


def listing(model: str) -> Listing:
    return Listing(instances={"mine": KnownModel(model, "llm")})


def test_what_waits_for_an_identifier_runs_on_the_model_that_has_it_now() -> None:
    """LM Studio answers with that one; its slots and the time of others stay known."""
    made = Line()
    instances = Instances(made, Config)
    instances.take("lmstudio", listing("one"))
    facts = {"model": "one", "instance": "mine"}
    running = [ticket(**facts) for _ in range(4)]
    waiting = ticket(**facts)
    arrive(made, *running, waiting)
    instances.take("lmstudio", listing("other"))
    [leased] = made.machines.instances.values()
    assert (leased.model, leased.is_listed) == ("other", True)
    assert waiting in made.running
    assert made.running[waiting].instance is leased
    for one in (*running, waiting):
        finish(made, one, 1.0)
    assert [(one.model, one.leases) for one in instances.listed("lmstudio")] == [("other", [])]


def test_what_runs_on_the_model_before_counts_for_its_key() -> None:
    """`limits.running` counts requests, wherever they run."""
    made = Line(terms=lambda key: Terms(running=1))
    instances = Instances(made, Config)
    instances.take("lmstudio", listing("one"))
    first, second = ticket(model="one"), ticket(model="other")
    arrive(made, first)
    instances.take("lmstudio", listing("other"))
    assert arrive(made, second) == []
    assert made.waiting[second].reason == "key_limit"
    assert finish(made, first, 1.0) == [second.request_id]


def test_a_count_that_comes_after_the_unload_is_nobodys_time() -> None:
    """No later count would take it back, and the machine would look busy for ever."""
    made = Line()
    instances = Instances(made, Config)
    instances.take("lmstudio", listing("one"))
    [counted] = instances.listed("lmstudio")
    instances.take("lmstudio", Listing())
    made.observe(counted, 3, 1.0)
    made.accounts.advance(11.0)
    assert (made.accounts.outside_seconds, made.accounts.busy_seconds) == (0, 0)


def test_a_name_that_a_client_invents_is_forgotten_with_its_requests() -> None:
    """Also if its request could have run, but another one of its key did."""
    made = Line(terms=lambda key: Terms(running=1))
    first, second, third = ticket(model="a"), ticket(model="b"), ticket(model="c")
    arrive(made, first, second, third)
    finish(made, first, 1.0)
    made.leave(third, 2.0)
    finish(made, second, 3.0)
    assert not made.machines.instances


def test_an_unload_ends_the_prompts_whose_clients_have_left() -> None:
    """LM Studio has ended, or the model was unloaded: nothing processes them any more."""
    made = Line()
    instances = Instances(made, Config)
    instances.take("lmstudio", listing("one"))
    gone, other = ticket(model="one"), ticket(model="one")
    arrive(made, gone, other)
    made.linger(made.running[gone], 120.0, 1.0)
    instances.take("lmstudio", Listing())
    assert [lease.ticket for lease in made.take_ended()] == [gone]
    assert (list(made.running), made.lingering) == ([other], 0)
