"""Who is told what happens in the line and in memory."""

from __future__ import annotations

from typing import Protocol

from ..errors import GatewayError
from .residency.effects import DrainEnd, SwapEnd
from .slots import Instance, Lease
from .tickets import Ticket
from .waiting import Waiter


class Onlooker(Protocol):
    """Is told what happens in the line. None of it may raise."""

    def queued(self, waiter: Waiter) -> None:
        """A request begins to wait."""

    def dispatched(self, lease: Lease, waited: float) -> None:
        """A request that has waited so many seconds runs now."""

    def gave_up(self, ticket: Ticket, waited: float) -> None:
        """A request has left the line: its client did, or it was ended, or it had waited too long."""

    def refused(self, error: GatewayError) -> None:
        """A request was refused, or has waited too long."""

    def ended(self, lease: Lease) -> None:
        """LM Studio is done with a request whose client had left before."""

    def drain_started(self, instance: Instance, wanted: str | None) -> None:
        """An instance gets no new request, because another model is wanted, or somebody unloads it."""

    def drain_ended(self, ended: DrainEnd) -> None:
        """An instance that drained is gone, or gets requests again."""

    def swap_ended(self, ended: SwapEnd) -> None:
        """A model has taken the place of another one, or hasn't."""

    def loaded(self, seconds: float) -> None:
        """A model was loaded through the gateway, in so many seconds."""
