"""How LM Studio and its engines say that the memory doesn't suffice for a model. There is no code for it."""

from __future__ import annotations

import re

# CUDA and MLX say "out of memory", Vulkan "ErrorOutOfDeviceMemory", llama.cpp "unable to allocate … buffer".
_ENGINES = re.compile(
    r"\b(memory|vram|ram)\b|outof(device|host)?memory|\b(unable|failed) to allocate\b"
    r"|insufficient system resources",
    re.IGNORECASE,
)
# LM Studio's own refusal to begin a load.
_LM_STUDIO = re.compile(r"insufficient system resources", re.IGNORECASE)


def means_out_of_memory(title: str, reasons: str) -> bool:
    """An engine's reason is the cause. LM Studio's refusal is the title, which decides nothing else."""
    return bool(_LM_STUDIO.search(title) or _ENGINES.search(reasons))
