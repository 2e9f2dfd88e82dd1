"""The errors of requests whose model can't be loaded."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import GatewayError, LoadFailed, ModelBlocked, ModelNotFound, UpstreamUnavailable
from ..refusals import MOST_RETRY_SECONDS

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
    return UpstreamUnavailable(f"{model} isn't in memory, and the gateway can't have it loaded: {words}")
