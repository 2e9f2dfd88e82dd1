"""What operators see of the residency: the models that are being loaded, and the swap in progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...schema.queue import QueueInstance, Swap
from ..durations import Durations
from ..slots import Instance, usual_slots
from .loading import Loading
from .residency import Residency
from .swaps import Swap as SwapInProgress


def loading_instances(residency: Residency) -> Iterator[QueueInstance]:
    """Yield what is being loaded, as the instances that there will be."""
    for loading in residency.loads:
        model, instance = loading.load.target.model, loading.load.target.instance
        yield QueueInstance(
            box=residency.box,
            instance=instance or model,
            model=model,
            state="loading",
            slots=usual_slots(loading.load.kind),
            ours=0,
            outside=0,
            idle_ms=0,
            pinned=model in residency.terms.pins,
            origin=loading.origin,
        )


def swap_report(residencies: Iterable[Residency], now: float, durations: Durations) -> Swap | None:
    """Return the swap in progress that began first."""
    swaps = ((swap, residency) for residency in residencies for swap in residency.swaps)
    first = min(swaps, key=lambda one: one[0].since, default=None)
    if first is None:
        return None
    swap, residency = first
    expected = _seconds_left(swap, residency, now, durations)
    return Swap(
        from_=swap.from_model,
        to=swap.to.model,
        state=swap.state,
        since_ms=round((now - swap.since) * 1000),
        eta_ms=None if expected is None else round(expected * 1000),
    )


def _seconds_left(
    swap: SwapInProgress, residency: Residency, now: float, durations: Durations
) -> float | None:
    """Return when the new model is in memory, None if that can't be estimated."""
    load = residency.load_seconds.get(swap.to.model)
    if load is None:
        return None
    loading = next((one for one in residency.loads if one.load.target == swap.to), None)
    if loading is not None:
        return _rest(load, now, loading)
    drains = [_drain_seconds(one, now, durations) for one in swap.leaving]
    if any(drain is None for drain in drains):
        return None
    return load + max((drain for drain in drains if drain is not None), default=0.0)


def _rest(usual: float, now: float, loading: Loading) -> float:
    return max(usual - (now - loading.since), 0.0)


def _drain_seconds(instance: Instance, now: float, durations: Durations) -> float | None:
    """Return how long the answers on an instance go on, if they take as long as others of its model."""
    if not instance.leases:
        return 0.0
    mean = durations.mean(instance.model)
    if mean is None:
        return None
    return max(0.0, *(mean - (now - lease.began) for lease in instance.leases))
