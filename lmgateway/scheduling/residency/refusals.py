"""The errors of requests whose model can't be loaded, and of unloads."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import (
    Conflict,
    GatewayError,
    LoadFailed,
    ModelBlocked,
    ModelNotFound,
    StudioFailed,
    UpstreamUnavailable,
)
from ...models.memory import Drain
from ..refusals import MOST_RETRY_SECONDS
from ..slots import Instance
from .effects import Unloaded

_LATER = {"Retry-After": str(MOST_RETRY_SECONDS)}


def blocked_by_pins(model: str, pins: Sequence[str], most: int) -> GatewayError:
    return ModelBlocked(
        f"{model} isn't in memory, and can't be loaded: residency.max_models is {most}, and the pinned "
        f"models {', '.join(pins)} take it up. Raise it, or pin fewer models.",
        headers=_LATER,
    )


def blocked_by_others(model: str, others: Sequence[str], words: str) -> GatewayError:
    return ModelBlocked(
        f"{model} finds no memory beside {', '.join(others)}, which the gateway may not unload. Unload one "
        f"of them, or try again later. LM Studio said: {words}",
        headers=_LATER,
    )


def load_failed(model: str, words: str) -> GatewayError:
    return LoadFailed(f"{model} couldn't be loaded. LM Studio said: {words}", headers=_LATER)


def missing(model: str, words: str) -> GatewayError:
    return ModelNotFound(f"LM Studio has no model {model}. It said: {words}")


def no_link(model: str, words: str) -> GatewayError:
    absent = f"{model} isn't in memory, and the gateway can't have it loaded"
    if not model:  # the request names none, and none is active
        absent = "No model is in memory, and the request names none"
    return UpstreamUnavailable(f"{absent}: {words}")


def check_unloaded(instance: Instance, unloaded: Unloaded, drain: Drain) -> None:
    """Raise the error of somebody's unload, unless the instance is gone."""
    name = instance.id.name
    match unloaded.outcome:
        case "busy":
            number = len(instance.leases) + instance.outside
            running = "1 request still runs" if number == 1 else f"{number} requests still run"
            after = f" after {drain.seconds:g} s" if drain.seconds else ""
            raise Conflict(
                f"{running} on {name}{after}, so it stays in memory. A larger drainSeconds "
                "(--wait) waits longer, and force (--force) ends what runs."
            )
        case "revoked":
            raise Conflict(f"{name} stays in memory: somebody has loaded it again while it drained.")
        case "failed":
            raise unloaded.error or StudioFailed(f"{name} couldn't be unloaded.")
