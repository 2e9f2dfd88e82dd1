"""Passes on what happens in the line: to the ledger, the metrics, the events and the reports."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import GatewayError
from ..observe.faults import Faults
from ..observe.model_labels import OTHER
from ..observe.queue_metrics import QueueMetrics
from ..storage.ledger import Ledger
from .announcements import Announcements
from .residency.effects import DrainEnd, SwapEnd
from .slots import Instance, Lease
from .tickets import Ticket
from .waiting import Waiter


class Notices:
    """The scheduler's onlooker."""

    def __init__(
        self,
        ledger: Ledger,
        metrics: QueueMetrics,
        announcements: Announcements,
        faults: Faults,
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._announcements = announcements
        self._faults = faults

    def queued(self, waiter: Waiter) -> None:
        self._tell(self._announcements.queued, waiter)

    def dispatched(self, lease: Lease, waited: float) -> None:
        self._tell(self._announcements.dispatched, lease, waited)
        self._tell(self._metrics.waited, lease.ticket.priority, lease.ticket.model, waited)

    def gave_up(self, ticket: Ticket, waited: float) -> None:
        self._tell(self._announcements.gave_up, ticket)
        self._tell(self._metrics.waited, ticket.priority, ticket.model, waited)

    def refused(self, error: GatewayError) -> None:
        self._tell(self._metrics.refused, error.code)

    def ended(self, lease: Lease) -> None:
        self._tell(self._count_rest, lease)

    def drain_started(self, instance: Instance, wanted: str | None) -> None:
        self._tell(self._announcements.drain_started, instance, wanted)

    def drain_ended(self, ended: DrainEnd) -> None:
        self._tell(self._announcements.drain_ended, ended)

    def swap_ended(self, ended: SwapEnd) -> None:
        self._tell(self._metrics.swap_ended, ended.result)

    def loaded(self, seconds: float) -> None:
        self._tell(self._metrics.loaded, seconds)

    def _count_rest(self, lease: Lease) -> None:
        """Count what LM Studio spent on a prompt after its client had left."""
        seconds = lease.gpu_seconds - (lease.recorded_seconds or 0.0)
        model = lease.ticket.model if lease.instance.is_listed else OTHER
        self._ledger.spent(lease.ticket.account.key, model, lease.instance.id.box, round(seconds * 1000))

    def _tell(self, notice: Callable[..., None], *facts: object) -> None:
        try:
            notice(*facts)
        except Exception:  # raised here, a fault of an onlooker would leave requests in line for ever
            self._faults.log("Telling what happens in the line")
