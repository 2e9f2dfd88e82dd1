"""The slots of an instance, and the leases on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from msgspec import Struct, field

from ..schema.common import ModelType
from ..schema.queue import Origin
from .box_times import BoxTime
from .tickets import Ticket
from .virtual_times import Standing

LeasePhase = Literal["running", "lingering", "ended"]
# Of an instance in memory. One that drains gets no new request, and neither does one that is unloaded.
InstanceState = Literal["resident", "draining", "unloading"]


def usual_slots(kind: ModelType) -> int:
    """Return how many requests a model runs at once, if LM Studio doesn't say."""
    return 1 if kind == "embedding" else 4


class InstanceId(NamedTuple):
    box: str
    name: str


class Lease(Struct, eq=False):
    """The right of a request to run on an instance, until LM Studio is done with it.

    `lingering`: its client has left, and LM Studio still processes its prompt, at the latest until
    `lingers_until`. Times are in seconds of the monotonic clock. `standings` have been charged `gpu_seconds`,
    up to the moment at which `box.part` was `charged`; `recorded_seconds` is how much of them was recorded
    when the client left. `is_used` is false if the request was never sent to LM Studio.
    """

    ticket: Ticket
    instance: Instance
    box: BoxTime
    standings: Sequence[Standing]
    began: float
    charged: float
    reserved: int = 0
    gpu_seconds: float = 0.0
    phase: LeasePhase = "running"
    lingers_until: float | None = None
    recorded_seconds: float | None = None
    is_used: bool = True


class Instance(Struct, eq=False):
    """A model in memory, or one that isn't: `is_listed` is false if LM Studio hasn't it in its list.

    `outside`: how many requests that aren't the gateway's run on it. `context` is its length in tokens if its
    requests share it, else None; `may_share` is true if they do, or if that isn't known yet. `idle_since` is
    when its last lease ended, or when it was first seen; `since` is when it was loaded, or first seen.
    `time` is that of its box, once a request has run on it.
    """

    id: InstanceId
    model: str
    slots: int
    kind: ModelType = "llm"
    outside: int = 0
    context: int | None = None
    may_share: bool = False
    is_listed: bool = True
    idle_since: float = 0.0
    state: InstanceState = "resident"
    origin: Origin = "outside"
    since: float = 0.0
    time: BoxTime | None = None
    leases: list[Lease] = field(default_factory=list)

    @property
    def free(self) -> int:
        """How many more requests may run. Those of others are left their slots, but at least one is ours."""
        return max(self.slots - self.outside, 1) - len(self.leases)

    @property
    def reserved(self) -> int:
        return sum(lease.reserved for lease in self.leases)

    def has_room_for(self, needed: int) -> bool:
        """True if so many tokens fit into the shared context, and always while nothing runs."""
        return self.context is None or not self.leases or self.reserved + needed <= self.context


def assumed(
    ticket: Ticket, slots: int | None = None, *, may_share: bool = False, box: str | None = None
) -> Instance:
    """Return an instance for a model that isn't in memory: LM Studio may load it for the request."""
    wanted, kind = ticket.group.wanted, ticket.group.kind
    name = InstanceId(wanted.box if box is None else box, wanted.instance or wanted.model)
    slots = slots or usual_slots(kind)
    return Instance(name, wanted.model, slots, kind, may_share=may_share, is_listed=False)
