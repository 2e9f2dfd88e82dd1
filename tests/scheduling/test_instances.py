"""What is learned of an instance, from LM Studio's list and from the SDK."""

from __future__ import annotations

from types import MappingProxyType

from lmgateway.boxes.listing import InstanceDetails, KnownModel, Listing
from lmgateway.config import Config, ModelProfile, Queue
from lmgateway.scheduling.instances import Instances
from lmgateway.scheduling.line import Line

NAMES = ("one", "two")


class Kept:
    """Instances under a configuration that a test changes."""

    def __init__(self) -> None:
        self.config = Config()
        self.instances = Instances(Line(), lambda: self.config)

    def lists(self, *names: str, details: InstanceDetails | None = None) -> None:
        of = {} if details is None else dict.fromkeys(names, details)
        known = {name: KnownModel(name, "llm") for name in names}
        self.instances.take("lmstudio", Listing(instances=known, details=of))

    def unlearned(self) -> list[str]:
        return [one.id.name for one in self.instances.unlearned("lmstudio")]


def test_the_sdk_tells_the_slots_where_the_list_does_not() -> None:
    """Of an LM Studio before 0.4; also when another model is loaded later."""
    kept = Kept()
    kept.lists("one")
    [one] = kept.instances.listed("lmstudio")
    kept.instances.put_details(one, InstanceDetails(7, 8192, unified_cache=True))
    assert (one.slots, one.context) == (7, 8192)
    kept.lists("one", "two")
    assert (one.slots, one.context) == (7, 8192)
    kept.config = Config(models=MappingProxyType({"one": ModelProfile(slots=2, context_guard=False)}))
    kept.instances.update()
    assert (one.slots, one.context) == (2, None)


def test_the_list_comes_before_the_sdk() -> None:
    kept = Kept()
    kept.lists("one", details=InstanceDetails(2, 4096))
    [one] = kept.instances.listed("lmstudio")
    kept.instances.put_details(one, InstanceDetails(7, 8192, unified_cache=True))
    assert (one.slots, one.context) == (2, 4096)


def test_an_instance_that_another_configuration_must_know_is_asked_about_then() -> None:
    """The context guard works as soon as it is turned on, though the model was loaded before."""
    kept = Kept()
    kept.config = Config(queue=Queue(enabled=False))
    kept.lists("one", details=InstanceDetails(2, 4096))
    assert kept.unlearned() == []
    kept.config = Config()
    assert kept.unlearned() == ["one"]
    [one] = kept.instances.listed("lmstudio")
    kept.instances.put_details(one, InstanceDetails(2, 4096, unified_cache=True))
    assert kept.unlearned() == []


def test_an_instance_is_asked_about_again_if_the_sdk_could_not_be_reached() -> None:
    """Not one that was unloaded meanwhile, nor one of which it has nothing to report."""
    kept = Kept()
    kept.lists(*NAMES, details=InstanceDetails(2, 4096))
    assert kept.unlearned() == ["one", "two"]
    kept.lists("two", details=InstanceDetails(2, 4096))
    assert kept.unlearned() == ["two"]
    [two] = kept.instances.listed("lmstudio")
    kept.instances.put_nothing(two)
    assert kept.unlearned() == []


def test_prompts_are_measured_where_the_context_may_be_shared() -> None:
    """Until the SDK says that it isn't, and not while the SDK can't be asked: that may be for ever."""
    kept = Kept()
    kept.lists("one", details=InstanceDetails(2, 4096))
    [one] = kept.instances.listed("lmstudio")
    assert one.may_share
    kept.instances.put_unreachable("lmstudio")
    assert (one.may_share, kept.unlearned()) == (False, ["one"])
    for is_shared in (True, False):
        kept.instances.put_details(one, InstanceDetails(2, 4096, unified_cache=is_shared))
        assert one.may_share is is_shared
    kept.instances.take("lmstudio", Listing())
    assert one.may_share
