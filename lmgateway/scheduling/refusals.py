"""The errors of requests that may not wait, or have waited too long, and when to try again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from ..errors import BoxAsleep, GatewayEnding, GatewayError, KeyQueueFull, QueueFull, WaitExpired
from .bounds import Bounds, RefusalCode
from .tickets import Ticket
from .waiting import Reason, Waiter

# Until the length of a model's answers is known, and while the gateway stops.
USUAL_RETRY_SECONDS = 5
# Some clients give up if it is more than a minute.
MOST_RETRY_SECONDS = 30

_ASLEEP = "The machine of the LM Studio {} didn't wake up in time. Look whether it is on, or try again."

_AWAITED: Mapping[Reason, str] = MappingProxyType(
    {
        "slot": "a free slot",
        "key_limit": "another request of its key to end",
        "context": "room in the model's context",
        "model": "its model to be loaded",
        "box": "an LM Studio that answers and can load its model",
    }
)


def retry_seconds(answer_seconds: float | None, slots: int) -> int:
    """Return after how many seconds a slot is free again, at answers that take so long."""
    if answer_seconds is None:
        return USUAL_RETRY_SECONDS
    return min(max(math.ceil(answer_seconds / slots), 1), MOST_RETRY_SECONDS)


def full(code: RefusalCode, ticket: Ticket, bounds: Bounds, seconds: int) -> GatewayError:
    """Return the error of a request that finds the line full."""
    if code == "key_queue_full":
        who = ticket.account.address or ticket.user or ticket.account.key
        message = f"{bounds.waiting_per_key} requests of {who} wait for the GPU already"
        return KeyQueueFull(f"{message} (queue.max_waiting_per_key).", headers=_retry(seconds))
    return QueueFull(
        f"{bounds.waiting} requests wait for the GPU already, or their bodies take "
        f"{bounds.waiting_bytes} bytes (queue.max_waiting, queue.max_waiting_bytes).",
        headers=_retry(seconds),
    )


def expired(waiter: Waiter, seconds: int) -> WaitExpired:
    """Return the error of a request that has waited as long as it may."""
    waited, thing = round(waiter.ticket.group.max_wait), _AWAITED[waiter.reason]
    return WaitExpired(
        f"The request has waited {waited} s for {thing}, as long as it may "
        "(queue.max_wait_ms, queue.max_wait_plain_ms). Try again, or with stream: true.",
        headers=_retry(seconds),
    )


def ending() -> GatewayEnding:
    """Return the error of a request that waits while the gateway stops."""
    message = "The gateway is stopping. Try again when it has started again."
    return GatewayEnding(message, headers=_retry(USUAL_RETRY_SECONDS))


def _retry(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


def asleep(box: str) -> BoxAsleep:
    """Return the error of what needs a box that hasn't woken up."""
    # A machine takes longer than that to wake up.
    return BoxAsleep(_ASLEEP.format(box), headers=_retry(MOST_RETRY_SECONDS))
