"""Passes on what happens in the line: to the ledger."""

from __future__ import annotations

from ..errors import GatewayError
from ..observe.model_labels import OTHER
from ..storage.ledger import Ledger
from .slots import Lease
from .tickets import Ticket
from .waiting import Waiter


class Notices:
    """The scheduler's onlooker."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def queued(self, waiter: Waiter) -> None:
        pass

    def dispatched(self, lease: Lease, waited: float) -> None:
        pass

    def gave_up(self, ticket: Ticket, waited: float) -> None:
        pass

    def refused(self, error: GatewayError) -> None:
        pass

    def ended(self, lease: Lease) -> None:
        """Count what LM Studio spent on a prompt after its client had left."""
        if lease.recorded_seconds is not None:
            model = lease.ticket.model if lease.instance.is_listed else OTHER
            rest = round((lease.gpu_seconds - lease.recorded_seconds) * 1000)
            self._ledger.spent(lease.ticket.account.key, model, lease.instance.id.box, rest)
