"""The mistakes in the pinned models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..config import Residency
from ..schema.common import likely_type


def too_many_pins(residency: Residency) -> Iterator[str]:
    """Yield a sentence for each type of which more models are pinned than may be in memory."""
    counts = Counter(likely_type(key) for key in dict.fromkeys(residency.pin))
    for kind, count in counts.items():
        if count > residency.max_models:
            models = "embedding models" if kind == "embedding" else "models"
            yield (
                f"residency.pin: {count} {models} are pinned, but residency.max_models is "
                f"{residency.max_models}; pin fewer, or raise it"
            )
