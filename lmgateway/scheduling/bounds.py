"""How many requests may wait."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

from msgspec import Struct

from ..config import Queue
from .slots import Lease
from .tickets import Ticket
from .waiting import Waiting

RefusalCode = Literal["queue_full", "key_queue_full"]
_DEFAULTS = Queue()


class Bounds(Struct, frozen=True, kw_only=True):
    """How many requests may wait, in all and of one account, and the bytes of their bodies."""

    waiting: int = _DEFAULTS.max_waiting
    waiting_per_key: int = _DEFAULTS.max_waiting_per_key
    waiting_bytes: int = _DEFAULTS.max_waiting_bytes

    @classmethod
    def of(cls, queue: Queue) -> Self:
        return cls(
            waiting=queue.max_waiting,
            waiting_per_key=queue.max_waiting_per_key,
            waiting_bytes=queue.max_waiting_bytes,
        )

    def exceeded_by(self, ticket: Ticket, waiting: Waiting) -> RefusalCode | None:
        """Return which of them a request exceeds that is among those that wait."""
        if len(waiting) > self.waiting or waiting.bytes > self.waiting_bytes:
            return "queue_full"
        if waiting.of_account[ticket.account, ticket.user] > self.waiting_per_key:
            return "key_queue_full"
        return None


DEFAULT_BOUNDS = Bounds()


class Refusal(NamedTuple):
    """Why a request was refused, and the leases of others that its arrival gave."""

    code: RefusalCode
    leases: list[Lease]
