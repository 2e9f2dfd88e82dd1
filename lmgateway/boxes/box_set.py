"""The boxes of one configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import BoxNotFound
from ..schema.common import Mend
from ..text import clean_name
from .attendance import keeps_watch
from .box import Box
from .joined_models import JoinedModels, ModelSource


class BoxSet:
    """The boxes that a configuration describes, in its order. They never change.

    A request keeps the set that it began with, so that a reload changes nothing for it. `models` is where its
    model's name is looked up.
    """

    def __init__(self, boxes: Iterable[Box]) -> None:
        self._by_name = {box.name: box for box in boxes}
        boxes = tuple(self._by_name.values())
        self.main = boxes[0]
        # None if there are several.
        self.only = boxes[0] if len(boxes) == 1 else None
        self.models: ModelSource = JoinedModels(boxes) if self.is_watched else boxes[0]

    @property
    def is_watched(self) -> bool:
        """True if it is to be known which boxes are up. An idle one is left alone then."""
        return self.only is None or keeps_watch(self.only.config)

    def __iter__(self) -> Iterator[Box]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> Box | None:
        return self._by_name.get(name)

    def named(self, name: str) -> Box:
        """Return the box of this name. Raises BoxNotFound, which says which there are."""
        if (box := self.get(name)) is None:
            raise box_not_found(name, self._by_name)
        return box

    @property
    def up(self) -> tuple[Box, ...]:
        return tuple(box for box in self if box.is_up)

    @property
    def first_up(self) -> Box:
        """The box for what names no model: the first one that is up, else the first one."""
        return self.only or next((box for box in self if box.is_up), self.main)

    def with_model(self, name: str) -> Box:
        """Return the box to be asked about a model: the first that is up and has it in memory, or on disk.

        If none has, it is the first one that is up.
        """
        able = [box for box in self if box.is_up and box.catalogue.find(name)]
        loaded = [box for box in able if box.catalogue.listing.has_loaded(name)]
        return next(iter(loaded or able), self.first_up)

    def known_refusals(self, model: str | None) -> tuple[Mend, ...]:
        """Return the mends that this model's requests are known to need on any box."""
        if self.only is not None:
            return self.only.refusals.of(model)
        return tuple(dict.fromkeys(mend for box in self for mend in box.refusals.of(model)))


def box_not_found(name: str, names: Iterable[str]) -> BoxNotFound:
    """Return the error for a name that isn't among these."""
    return BoxNotFound(f"There is no box {clean_name(name)}. The boxes: {', '.join(names)}.")
