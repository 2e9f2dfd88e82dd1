"""The errors of requests that don't get their turn."""

from __future__ import annotations

from ..errors import GatewayEnding, KeyQueueFull, QueueFull, WaitExpired
from .bounds import Bounds, RefusalCode
from .tickets import Ticket

_RETRY = {"Retry-After": "5"}


def full(code: RefusalCode, ticket: Ticket, bounds: Bounds) -> QueueFull:
    """Return the error of a request that may not wait beside the others."""
    if code == "key_queue_full":
        who = ticket.account.address or ticket.user or ticket.account.key
        message = f"{bounds.waiting_per_key} requests of {who} wait for the GPU already"
        return KeyQueueFull(f"{message} (queue.max_waiting_per_key).", headers=_RETRY)
    return QueueFull(
        f"{bounds.waiting} requests wait for the GPU already, or their bodies take "
        f"{bounds.waiting_bytes} bytes (queue.max_waiting, queue.max_waiting_bytes).",
        headers=_RETRY,
    )


def expired(ticket: Ticket) -> WaitExpired:
    """Return the error of a request that has waited as long as it may."""
    return WaitExpired(
        f"The request has waited {round(ticket.max_wait)} s for a free slot, as long as it may "
        "(queue.max_wait_ms, queue.max_wait_plain_ms). Try again, or with stream: true.",
        headers=_RETRY,
    )


def ending() -> GatewayEnding:
    """Return the error of a request that waits while the gateway stops."""
    return GatewayEnding("The gateway is stopping. Try again when it has started again.", headers=_RETRY)
