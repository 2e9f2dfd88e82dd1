"""What operators see of the line: the JSON of /debug/queue, and the figures of /metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import UNSET

from ..observe.queue_metrics import OUTSIDE, LineFigures
from ..schema.debug import Phase
from ..schema.queue import QueueInstance, QueueReport, RunningLease, Swap, WaitingRequest
from .durations import Durations
from .forecast import Forecast, forecast
from .line import Line
from .shares import shares
from .slots import Instance, Lease
from .waiting import Waiter


def report(
    line: Line,
    now: float,
    *,
    durations: Durations,
    phases: Mapping[str, Phase],
    pinned: Collection[str] = (),
    loading: Iterable[QueueInstance] = (),
    swap: Swap | None = None,
) -> QueueReport:
    """Return the report. It charges the accounts for the time that has passed.

    `phases` are those of the requests that have a client, by their ids. `pinned` are keys of models,
    `loading` what is being loaded.
    """
    line.accounts.advance(now)
    expected = forecast(line, now, durations)
    return QueueReport(
        instances=[*(_instance(one, now, pinned) for one in _shown(line)), *loading],
        waiting=[_waiting(one, now, expected[one.ticket]) for one in line.waiting],
        running=[_running(lease, phases) for lease in line.running.values()],
        keys=[*shares(line)],
        swap=swap,
    )


def figures(line: Line, now: float) -> LineFigures:
    """Return the figures of the line. It charges the accounts for the time that has passed."""
    line.accounts.advance(now)
    slots: Counter[str] = Counter()
    for instance in line.machines.instances.values():
        if instance.is_listed:
            slots[instance.model] += instance.slots
    return LineFigures(
        waiting=Counter((one.ticket.priority, one.ticket.model) for one in line.waiting),
        slots=slots,
        gpu_seconds={**line.accounts.seconds(), OUTSIDE: line.accounts.outside_seconds},
        busy_seconds=line.accounts.busy_seconds,
        free_while_waiting_seconds=line.late_seconds,
    )


def _shown(line: Line) -> Iterator[Instance]:
    """Yield the instances in memory, and those on which requests run or wait while LM Studio loads them.

    Any other one is in no memory, and only stands for the slots that the model would have.
    """
    waited_for = {one.ticket.model for one in line.waiting}
    for instance in line.machines.instances.values():
        if instance.is_listed or instance.leases or instance.model in waited_for:
            yield instance


def _instance(instance: Instance, now: float, pinned: Collection[str]) -> QueueInstance:
    return QueueInstance(
        box=instance.id.box,
        instance=instance.id.name,
        model=instance.model,
        state=instance.state if instance.is_listed else "loading",
        slots=instance.slots,
        ours=len(instance.leases),
        outside=instance.outside,
        idle_ms=0 if instance.leases else _milliseconds(now - instance.idle_since),
        pinned=instance.model in pinned,
        origin=instance.origin,
    )


def _waiting(waiter: Waiter, now: float, expected: Forecast) -> WaitingRequest:
    ticket = waiter.ticket
    return WaitingRequest(
        request_id=ticket.request_id,
        key=ticket.account.key,
        user=UNSET if ticket.user is None else ticket.user,
        priority=ticket.priority,
        model=ticket.model,
        reason=expected.reason,
        ahead=expected.ahead,
        waited_ms=_milliseconds(now - waiter.since),
        eta_ms=None if expected.seconds is None else _milliseconds(expected.seconds),
    )


def _running(lease: Lease, phases: Mapping[str, Phase]) -> RunningLease:
    request_id = lease.ticket.request_id
    return RunningLease(
        request_id=request_id,
        key=lease.ticket.account.key,
        model=lease.ticket.model,
        box=lease.instance.id.box,
        phase="lingering" if lease.phase == "lingering" else phases.get(request_id, "waiting"),
        gpu_ms=_milliseconds(lease.gpu_seconds),
    )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
