"""What operators see of the models: LM Studio's lists, with what the gateway knows of each model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from math import isfinite

from msgspec import structs

from ..config import ModelProfile
from ..schema.model_list import DownloadedModelReport, LoadedModelReport
from ..schema.models import DownloadedModel, LoadedModel
from .line import Line
from .residency.terms import ResidencyTerms
from .slots import Instance, InstanceId, usual_slots


def loaded_models(
    loaded: Iterable[LoadedModel], line: Line, now: float, *, box: str, terms: ResidencyTerms
) -> tuple[LoadedModelReport, ...]:
    """Return the reports of the models that a box has in memory.

    The line learns of a new instance from the next list of models that LM Studio sends over HTTP. Until then
    the instance has the usual slots, and nothing runs on it.
    """
    waiting = Counter(waiter.ticket.model for waiter in line.waiting)
    return tuple(
        _report(one, _known(one, line, box), now, box=box, terms=terms, waiting=waiting) for one in loaded
    )


def _known(model: LoadedModel, line: Line, box: str) -> Instance:
    instance = line.machines.instances.get(InstanceId(box, model.identifier))
    if instance is not None and instance.model == model.model_key:
        return instance
    slots = usual_slots(model.kind)
    return Instance(InstanceId(box, model.identifier), model.model_key, slots, is_listed=False)


def _report(
    model: LoadedModel,
    instance: Instance,
    now: float,
    *,
    box: str,
    terms: ResidencyTerms,
    waiting: Counter[str],
) -> LoadedModelReport:
    is_idle = instance.is_listed and not instance.leases
    return LoadedModelReport(
        **structs.asdict(model),
        box=box,
        state=instance.state,
        origin=instance.origin,
        pinned=model.model_key in terms.pins,
        slots=instance.slots,
        running=len(instance.leases),
        waiting=waiting[model.model_key],
        idle_ms=round((now - instance.idle_since) * 1000) if is_idle else 0,
        idle_limit_ms=_idle_limit_ms(model, instance, terms),
    )


def _idle_limit_ms(model: LoadedModel, instance: Instance, terms: ResidencyTerms) -> int | None:
    """Return after how long without a request it is unloaded, None if it stays."""
    may_leave = instance.origin == "on-demand" and model.model_key not in terms.pins
    if terms.enabled and may_leave and isfinite(terms.idle_seconds):
        return round(terms.idle_seconds * 1000)
    return model.ttl_ms or None


def models_on_disk(
    downloaded: Mapping[str, Iterable[DownloadedModel]],
    profiles: Mapping[str, ModelProfile],
    pins: Collection[str],
) -> tuple[DownloadedModelReport, ...]:
    """Return the reports of the models on the boxes' disks, which are by the boxes' names.

    Of a model that several boxes have, the first one's counts. A profile is named by the model's key or path.
    """
    models: list[DownloadedModel] = []
    # By key. A box may list a key twice, and is named once.
    boxes: dict[str, dict[str, None]] = {}
    for box, on_disk in downloaded.items():
        before = set(boxes)
        for model in on_disk:
            boxes.setdefault(model.model_key, {})[box] = None
            if model.model_key not in before:
                models.append(model)
    return tuple(
        DownloadedModelReport(
            **structs.asdict(model),
            aliases=tuple(
                alias
                for name in dict.fromkeys((model.model_key, model.path))
                if name in profiles
                for alias in profiles[name].aliases
            ),
            pinned=model.model_key in pins,
            boxes=tuple(boxes[model.model_key]),
        )
        for model in models
    )
