"""Models as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .durations import duration
from .output import aligned
from .queue_tables import describe_swap, slots

Json = Mapping[str, Any]

_MODELS = ("", "MODEL", "TYPE", "SIZE", "CONTEXT")
_LOADED = ("LOADED", "BOX", "ORIGIN", "PINNED", "STATE", "SLOTS", "RUNS", "WAITS", "IDLE")


def overview(models: Json, active: Json, swap: Json | None) -> Iterator[str]:
    """Yield the lines of the tables: all models, then what runs on those in memory, and the swap if any.

    The first one names the boxes only if there are several.
    """
    rows = [(*_MODELS, "BOX"), *_rows(models, active)]
    boxes = {model["box"] for model in models["loaded"]}.union(*map(_boxes, models["downloaded"]))
    yield from aligned(rows if len(boxes) > 1 else [row[:-1] for row in rows])
    if models["loaded"]:
        yield ""
        rows = [_LOADED, *map(_loaded, models["loaded"])]
        yield from aligned(rows, numbers={5, 6, 7, 8})
    if swap is not None:
        yield ""
        yield describe_swap(swap)


def _rows(models: Json, active: Json) -> Iterator[tuple[str, ...]]:
    """Yield a row for each instance, each active model without an instance, and each other model."""
    for model in models["loaded"]:
        mark, context = "active" if model["active"] else "loaded", str(model["contextLength"] or "")
        yield mark, model["identifier"], model["type"], _size(model["size"]), context, model["box"]
    disk = {model["modelKey"]: model for model in models["downloaded"]}
    for model in models["loaded"]:
        disk.pop(model["modelKey"], None)
    active_types = {model["type"] for model in models["loaded"] if model["active"]}
    for kind, one in (("llm", active["activeModel"]), ("embedding", active["activeEmbeddingModel"])):
        if one is not None and kind not in active_types:
            # An active instance gets a row by its identifier, and its model keeps its own row.
            model = disk.pop(one["modelKey"], None) if one["instanceId"] is None else None
            size, places = ("", "") if model is None else (_size(model["size"]), ", ".join(_boxes(model)))
            yield "active, not loaded", one["instanceId"] or one["modelKey"], kind, size, "", places
    for model in disk.values():
        yield "", model["modelKey"], model["type"], _size(model["size"]), "", ", ".join(_boxes(model))


def _boxes(model: Json) -> Sequence[str]:
    # An older gateway doesn't send them.
    return tuple(model.get("boxes", ()))


def _loaded(model: Json) -> tuple[str, ...]:
    return (
        model["identifier"],
        model["box"],
        model["origin"],
        "yes" if model["pinned"] else "no",
        model["state"],
        slots(model["slots"]),
        f"{model['running']:,}",
        f"{model['waiting']:,}",
        duration(model["idleMs"]),
    )


def _size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
