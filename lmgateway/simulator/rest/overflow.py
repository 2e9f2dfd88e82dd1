"""How LM Studio refuses a prompt that doesn't fit its context: endpoints and builds differ."""

from ..engine.faults import ContextOverflow
from ..engine.switches import Overflow
from .errors import ApiError


def refusal(fault: ContextOverflow, overflow: Overflow, path: str, *, stream: bool) -> ApiError:
    """Return the error; a status of 200 stands for an event in a stream.

    `usual` is an event in a stream and 400 otherwise, but always 500 under `/v1/messages`.
    """
    match _way(overflow, path, stream):
        case "event":
            return ApiError(200, fault.title)
        case "server_error":
            return ApiError(500, fault.title)
        case "refuse_old":
            return ApiError(400, _older_text(fault))
        case _:
            return ApiError(400, _text(fault))


def _way(overflow: Overflow, path: str, stream: bool) -> Overflow:
    if overflow in ("refuse", "refuse_old", "server_error"):
        return overflow
    if overflow != "event" and path.startswith("/v1/messages"):
        return "server_error"
    return "event" if stream else "refuse"


def _text(fault: ContextOverflow) -> str:
    return (
        "The number of tokens to keep from the initial prompt is greater than the context length "
        f"(n_keep: {fault.prompt_tokens}>= n_ctx: {fault.context_length}). Try to load the model with a "
        "larger context length, or provide a shorter input."
    )


def _older_text(fault: ContextOverflow) -> str:
    return (
        f"Trying to keep the first {fault.prompt_tokens} tokens when context the overflows. However, the "
        f"model is loaded with context length of only {fault.context_length} tokens, which is not enough. "
        "Try to load the model with a larger context length, or provide a shorter input. "
        "Error Data: n/a, Additional Data: n/a"
    )
