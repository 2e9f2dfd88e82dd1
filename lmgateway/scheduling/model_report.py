"""What operators see of the models in memory: LM Studio's list, with what the line knows of each instance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from ..schema.model_list import LoadedModelReport
from ..schema.models import LoadedModel
from .line import Line
from .slots import Instance, InstanceId, usual_slots


def loaded_models(
    loaded: Iterable[LoadedModel], line: Line, now: float, *, box: str, pinned: Collection[str]
) -> tuple[LoadedModelReport, ...]:
    """Return the reports of the models that a box has in memory. `pinned` are keys of models.

    The line learns of a new instance from the next list of models that LM Studio sends over HTTP. Until then
    the instance has the usual slots, and nothing runs on it.
    """
    waiting = Counter(waiter.ticket.model for waiter in line.waiting)
    return tuple(
        _report(one, _known(one, line, box), now, box=box, pinned=pinned, waiting=waiting) for one in loaded
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
    pinned: Collection[str],
    waiting: Counter[str],
) -> LoadedModelReport:
    is_idle = instance.is_listed and not instance.leases
    return LoadedModelReport(
        **{name: getattr(model, name) for name in model.__struct_fields__},
        box=box,
        state=instance.state,
        origin=instance.origin,
        pinned=model.model_key in pinned,
        slots=instance.slots,
        running=len(instance.leases),
        waiting=waiting[model.model_key],
        idle_ms=round((now - instance.idle_since) * 1000) if is_idle else 0,
    )
