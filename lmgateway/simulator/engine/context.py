"""What happens when a context is too short, for the prompt or for the answer."""

from .catalogue import Model
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
    if overflow == "mid_generation_mlx" or (overflow != "mid_generation" and _is_mlx(instance.model)):
        raise ContextFullMlx
    if overflow == "mid_generation" or instance.model.architecture in _CANNOT_SHIFT:
        raise ContextFull(instance.context_length, instance.model.architecture)


def _is_mlx(model: Model) -> bool:
    """LM Studio calls MLX models safetensors in its SDK's protocol and mlx over HTTP."""
    return model.format in ("safetensors", "mlx")
