"""The settings of the residency, in seconds."""

from __future__ import annotations

from math import inf
from typing import Self

from msgspec import Struct

from ...boxes.box import Box
from ...config import Config
from ...models.aliases import Aliases
from ...models.names import known_model

# However long its loads take, a model in demand may be replaced after so long.
MOST_RESIDENCE_SECONDS = 120.0


class ResidencyTerms(Struct, frozen=True, kw_only=True):
    """`max_models` of each type are loaded for requests, pins included. `idle_seconds` is infinite for never.

    While two models are in constant demand, loads take at most `swap_share` of the time; a busy model is
    replaced once a request for another one has waited `switch_seconds`.
    """

    enabled: bool = True
    max_models: int = 1
    idle_seconds: float = 3600.0
    pins: tuple[str, ...] = ()
    swap_share: float = 0.2
    switch_seconds: float = 20.0

    @classmethod
    def of(cls, config: Config, box: Box) -> Self:
        """Return what the configuration says, for this box: a model may be pinned by any of its names."""
        settings, find, aliases = config.residency, box.catalogue.find, Aliases(config.models)
        return cls(
            enabled=box.has_residency(config),
            max_models=settings.max_models,
            idle_seconds=settings.idle_minutes * 60 or inf,
            pins=tuple(known_model(name, find, aliases).key for name in settings.pin),
            swap_share=settings.swap_share,
            switch_seconds=settings.switch_after_ms / 1000,
        )

    def least_residence(self, load_seconds: float) -> float:
        """Return how long a busy model stays at least that took so long to load."""
        return min(load_seconds * (1 - self.swap_share) / self.swap_share, MOST_RESIDENCE_SECONDS)
