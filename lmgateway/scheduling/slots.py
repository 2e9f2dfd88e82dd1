"""The slots of an instance, and the leases on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from .tickets import Account, Ticket

USUAL_SLOTS = 4
LeasePhase = Literal["prompt", "generating", "lingering"]


class InstanceId(NamedTuple):
    box: str
    name: str


@dataclass(slots=True, eq=False)
class Lease:
    """The right of a request to run on an instance, until LM Studio is done with it.

    `lingering`: its client has left, and LM Studio still processes its prompt, at the latest until
    `lingers_until`. Times are in seconds of the monotonic clock.
    """

    ticket: Ticket
    instance: Instance
    began: float
    reserved: int = 0
    gpu_seconds: float = 0.0
    phase: LeasePhase = "prompt"
    lingers_until: float | None = None


@dataclass(slots=True, eq=False)
class Instance:
    """A model in memory.

    `outside`: how many requests that aren't the gateway's run on it. `context` is its length in tokens if its
    requests share it, else None.
    """

    id: InstanceId
    model: str
    slots: int = USUAL_SLOTS
    outside: int = 0
    context: int | None = None
    leases: list[Lease] = field(default_factory=list)
    held: dict[Account, int] = field(default_factory=dict)

    @property
    def free(self) -> int:
        """How many more requests may run. Those of others are left their slots, but at least one is ours."""
        return max(self.slots - self.outside, 1) - len(self.leases)

    @property
    def reserved(self) -> int:
        return sum(lease.reserved for lease in self.leases)

    def add(self, lease: Lease) -> None:
        self.leases.append(lease)
        account = lease.ticket.account
        self.held[account] = self.held.get(account, 0) + 1

    def remove(self, lease: Lease) -> None:
        self.leases.remove(lease)
        account = lease.ticket.account
        self.held[account] -= 1
        if not self.held[account]:
            del self.held[account]

    def has_room_for(self, needed: int) -> bool:
        """True if so many tokens fit into the shared context, and always while nothing runs."""
        return self.context is None or not self.leases or self.reserved + needed <= self.context
