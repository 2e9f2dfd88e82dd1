"""What is shown of the models in memory, by example, in milliseconds."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from msgspec import structs

from lmgateway.config import ModelProfile
from lmgateway.scheduling.line import Line
from lmgateway.scheduling.model_report import loaded_models, models_on_disk
from lmgateway.scheduling.residency.terms import ResidencyTerms
from lmgateway.scheduling.slots import InstanceId
from lmgateway.schema.model_list import LoadedModelReport
from lmgateway.schema.models import DownloadedModel, LoadedModel
from tests.scheduling.schedule import MODEL, instance, ticket
from tests.scheduling.test_line import arrive, finish, line


def model(identifier: str = MODEL, key: str = MODEL, kind: str = "llm") -> LoadedModel:
    """Return a model of which LM Studio says no more than it must."""
    named = {"model_key": key, "path": key, "type": kind, "display_name": key, "identifier": identifier}
    return LoadedModel(**{**dict.fromkeys(LoadedModel.__struct_fields__), **named, "active": True})


def shown(
    of: Line, *models: LoadedModel, now: float = 0.0, pinned: str = "", **settings: Any
) -> list[LoadedModelReport]:
    terms = ResidencyTerms(pins=(pinned,), **settings)
    return [*loaded_models(models, of, now, box="lmstudio", terms=terms)]


def test_what_runs_and_waits_is_counted() -> None:
    """Of its own requests those that run, of its model's those that are in line."""
    made = line(2)
    made.put(instance(1, name="second"), 0.0)
    arrive(made, *[ticket() for _ in range(5)], ticket(model="another"))
    first, second = shown(made, model(), model("second"), now=3.0)
    assert (first.box, first.identifier, first.slots, first.running, first.waiting) == (
        *("lmstudio", MODEL, 2, 2),
        2,
    )
    assert (second.identifier, second.slots, second.running, second.waiting) == ("second", 1, 1, 2)
    assert (first.idle_ms, second.idle_ms) == (0, 0)
    assert (first.active, first.model_key) == (True, MODEL)


def test_an_idle_one_says_for_how_long() -> None:
    """Since its last request ended."""
    made, request = line(2), ticket()
    arrive(made, request)
    finish(made, request, 7.0)
    (one,) = shown(made, model(), now=9.5)
    assert one.idle_ms == 2500


def test_origin_and_state_are_those_of_the_line() -> None:
    made = line(2)
    one = made.machines.instances[InstanceId("lmstudio", MODEL)]
    one.origin, one.state = "on-demand", "draining"
    (report,) = shown(made, model())
    assert (report.origin, report.state, report.pinned) == ("on-demand", "draining", False)


def test_a_pinned_model_says_so() -> None:
    """All its instances do."""
    reports = shown(line(), model(), model("second"), model("other", "other"), pinned=MODEL)
    assert [one.pinned for one in reports] == [True, True, False]


def test_one_that_the_line_has_not_seen_yet_has_the_usual_slots() -> None:
    """LM Studio has just loaded it, or another model under an identifier that the line knows."""
    made = line(2)
    for new in (model("new"), model(MODEL, "another model")):
        (one,) = shown(made, new, now=60.0)
        assert (one.slots, one.running, one.origin, one.state) == (4, 0, "outside", "resident")
        assert one.idle_ms == 0
    (embedding,) = shown(made, model("new", kind="embedding"))
    assert embedding.slots == 1


@pytest.mark.parametrize(
    ("origin", "ttl_ms", "settings", "limit"),
    [
        ("on-demand", None, {"idle_seconds": 600.0}, 600_000),
        ("on-demand", None, {"idle_seconds": inf}, None),
        ("on-demand", None, {"idle_seconds": 600.0, "enabled": False}, None),
        ("on-demand", None, {"idle_seconds": 600.0, "pinned": MODEL}, None),
        ("loaded", None, {"idle_seconds": 600.0}, None),
        ("loaded", 60_000, {"idle_seconds": 600.0}, 60_000),
        ("outside", 3_600_000, {"idle_seconds": 600.0}, 3_600_000),
        ("outside", 0, {}, None),
    ],
)
def test_only_what_goes_by_itself_has_a_limit(
    origin: Any, ttl_ms: int | None, settings: dict[str, Any], limit: int | None
) -> None:
    """The gateway unloads what it has loaded for requests, LM Studio what was loaded with a TTL."""
    made = line(2)
    made.machines.instances[InstanceId("lmstudio", MODEL)].origin = origin
    (report,) = shown(made, structs.replace(model(), ttl_ms=ttl_ms), **settings)
    assert report.idle_limit_ms == limit


def test_a_model_on_disk_has_the_names_of_its_profile() -> None:
    """The profile may be named by the model's key or by its path."""
    fields = dict.fromkeys(DownloadedModel.__struct_fields__)
    disk = [
        DownloadedModel(**{**fields, "model_key": key, "path": path})
        for key, path in (("a", "a"), ("b", "folder/b"), ("c", "c.gguf"))
    ]
    profiles = {
        "a": ModelProfile(aliases=("gpt-4o", "claude-*")),
        "folder/b": ModelProfile(aliases=("small",)),
    }
    reports = models_on_disk({"lmstudio": disk}, profiles, {"b"})
    assert [(one.aliases, one.pinned) for one in reports] == [
        (("gpt-4o", "claude-*"), False),
        (("small",), True),
        ((), False),
    ]
