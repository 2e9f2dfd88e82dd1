"""The models of several boxes, or of one that may sleep, as if they were those of one LM Studio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import reduce
from itertools import chain
from types import MappingProxyType
from typing import Protocol

from msgspec import structs

from ..config import Config
from ..errors import UpstreamUnavailable
from .box import Box
from .listing import KnownModel, Listing, Names

NONE_UP = "No LM Studio that is up can be asked for its models."


class ModelCatalogue(Protocol):
    """The lists of models, as they are known. A Catalogue is one."""

    @property
    def version(self) -> object: ...
    @property
    def listing(self) -> Listing: ...
    @property
    def complete(self) -> Listing: ...
    @property
    def is_fresh(self) -> bool: ...
    @property
    def hangs(self) -> bool: ...
    def find(self, name: str) -> KnownModel | None: ...


class ModelSource(Protocol):
    """Where names of models are looked up. A Box is one."""

    @property
    def catalogue(self) -> ModelCatalogue: ...
    @property
    def is_unmanageable(self) -> bool: ...
    def has_residency(self, config: Config) -> bool: ...
    async def fresh_models(self) -> Listing: ...
    async def list_models(self) -> Listing: ...
    async def look_again(self, *, on_disk: bool = True) -> None: ...


class JoinedCatalogue:
    """The union of the boxes' lists. Of two models or instances with one name, the first box's counts."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self._boxes = boxes
        self._joined: tuple[object, Listing] = None, Listing()

    @property
    def version(self) -> object:
        """Another one for each `listing`."""
        return tuple((box.is_up, box.catalogue.version) for box in self._boxes)

    @property
    def listing(self) -> Listing:
        if self._joined[0] != (version := self.version):
            self._joined = version, _union(_shown(box, box.catalogue.listing) for box in self._boxes)
        return self._joined[1]

    @property
    def complete(self) -> Listing:
        """The same with all models on disk that were listed last, however long ago."""
        return _union(_shown(box, box.catalogue.complete) for box in self._boxes)

    @property
    def is_fresh(self) -> bool:
        """True if nothing is to be asked before a request is judged: a box that is left alone isn't asked."""
        return all(box.is_left_alone or box.catalogue.is_fresh for box in self._boxes)

    @property
    def hangs(self) -> bool:
        asked = [box for box in self._boxes if not box.is_left_alone]
        return bool(asked) and all(box.catalogue.hangs for box in asked)

    def find(self, name: str) -> KnownModel | None:
        found = (box.catalogue.find(name) for box in self._boxes)
        return next((model for model in found if model is not None), None)


class JoinedModels:
    """The models of these boxes. One that is left alone is only asked for a name that no other one has."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self._boxes = boxes
        self.catalogue = JoinedCatalogue(boxes)

    @property
    def is_unmanageable(self) -> bool:
        """True if the gateway can load and unload no box's models."""
        return all(box.is_unmanageable for box in self._boxes)

    def has_residency(self, config: Config) -> bool:
        """True if the gateway decides what is in some box's memory."""
        return config.keeps_models and not self.is_unmanageable

    async def fresh_models(self) -> Listing:
        """Return the union of the lists, each of the last 5 s or of a box that is left alone.

        Raises UpstreamUnavailable if no box has ever answered.
        """
        stale = [box for box in self._boxes if not (box.is_left_alone or box.catalogue.is_fresh)]
        await self._ask(stale, Box.list_models)
        return self.catalogue.listing

    async def list_models(self) -> Listing:
        """Request the lists of the boxes that aren't left alone. Raises as `fresh_models`."""
        await self._ask([box for box in self._boxes if not box.is_left_alone], Box.list_models)
        return self.catalogue.listing

    async def look_again(self, *, on_disk: bool = True) -> None:
        """Request the lists of the boxes that are up, also of idle ones. Raises as `fresh_models`."""
        await self._ask(
            [box for box in self._boxes if box.is_up], lambda box: box.look_again(on_disk=on_disk)
        )

    async def _ask(self, boxes: Iterable[Box], ask: Callable[[Box], Awaitable[object]]) -> None:
        outcomes = await asyncio.gather(*map(ask, boxes), return_exceptions=True)
        failures = [one for one in outcomes if isinstance(one, BaseException)]
        for failure in failures:
            if not isinstance(failure, UpstreamUnavailable):
                raise failure
        if (failures or not outcomes) and not self.catalogue.complete.models:
            raise failures[0] if failures else UpstreamUnavailable(NONE_UP)


def _shown(box: Box, listing: Listing) -> Listing:
    """Return a box's list; of one that is down, its instances are other names of their models."""
    if box.is_up:
        return listing
    models: Names = {**listing.instances, **listing.models}
    return structs.replace(listing, instances=MappingProxyType({}), details={}, models=models)


def _union(listings: Iterable[Listing]) -> Listing:
    return reduce(_joined, listings, Listing())


def _joined(one: Listing, other: Listing) -> Listing:
    return Listing(
        instances={**other.instances, **one.instances},
        models=dict(chain(other.models.items(), one.models.items())),
        on_demand=one.on_demand | other.on_demand,
        details={**other.details, **one.details},
    )
