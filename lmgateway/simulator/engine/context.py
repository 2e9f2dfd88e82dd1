"""What happens when a context is too short, for the prompt or for the answer."""

from .composition import Composition
from .faults import ContextFull, ContextFullMlx, ContextOverflow
from .instance import Instance
from .switches import Overflow

EMPTY = Composition(pieces=(), stop_reason="eosFound")
"""The answer of the engines that take a prompt that doesn't fit for a success."""

_CANNOT_SHIFT = frozenset({"gpt-oss"})
"""The architectures whose context can't be shifted when it is full."""


def check_prompt(prompt_tokens: int, instance: Instance) -> None:
    """Raise ContextOverflow unless the prompt leaves room for a token."""
    if prompt_tokens >= instance.context_length:
        raise ContextOverflow(prompt_tokens, instance.context_length)


def check_room(total_tokens: int, instance: Instance, overflow: Overflow) -> None:
    """Raise ContextFull or ContextFullMlx if the context is full and the engine can't shift it."""
    if total_tokens < instance.context_length:
        return
    if overflow == "mid_generation_mlx" or (
        overflow != "mid_generation" and instance.model.http_format == "mlx"
    ):
        raise ContextFullMlx
    if overflow == "mid_generation" or instance.model.architecture in _CANNOT_SHIFT:
        raise ContextFull(instance.context_length, instance.model.architecture)
