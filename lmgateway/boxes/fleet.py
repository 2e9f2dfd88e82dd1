"""All boxes, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

from ..config import LMStudio
from ..errors import GatewayError
from ..observe.activity import Activity
from .box import Box
from .connections import Connections
from .listing import Listing
from .load_in_progress import LastSettings

ONLY_BOX = "lmstudio"
OnListing = Callable[[str, Listing], None]
"""Receives the name of a box in force and its snapshot."""
OnLost = Callable[[], None]
# A scrape of the metrics waits for it.
LIST_SECONDS = 1


class Fleet:
    """The owner of the boxes in force and of their connections. Enter it before use."""

    def __init__(
        self, config: LMStudio, activity: Activity, last_settings: LastSettings | None = None
    ) -> None:
        """`last_settings` remembers the settings of loads; without it none are remembered."""
        self._connections = Connections(config, activity, last_settings)
        self._boxes = {ONLY_BOX: Box(ONLY_BOX, config, self._connections)}
        self._on_listing: OnListing | None = None
        self._on_lost: OnLost = lambda: None

    @property
    def only(self) -> Box:
        return self._boxes[ONLY_BOX]

    async def __aenter__(self) -> Self:
        await self._connections.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, exc, trace)

    def replace(self, box: Box) -> None:
        """Put a box in force, as `Box.reconfigured` returned it. Requests of the previous one go on."""
        previous = self.only
        if box is not previous:
            self._boxes[ONLY_BOX] = box
            self._connections.prefer(box.config)
        if self._on_listing is not None and box.catalogue is not previous.catalogue:
            previous.catalogue.on_refresh = previous.health.on_outage = None
            self.watch(self._on_listing, self._on_lost)
            self._on_lost()

    def watch(self, on_listing: OnListing, on_lost: OnLost = lambda: None) -> None:
        """Call `on_listing` with each box's snapshot: now, whenever a refresh changes it, for a new address.

        `on_lost` is called when LM Studio has closed the SDK's connection, has stopped answering, or is
        another one than before: what it has in memory isn't known any more. It must not raise.
        """
        self._on_listing, self._on_lost = on_listing, on_lost
        self._connections.links.on_lost = on_lost
        for box in self._boxes.values():
            box.health.on_outage = on_lost
            box.catalogue.on_refresh = partial(on_listing, box.name)
            on_listing(box.name, box.catalogue.listing)

    def lists(self, name: str) -> bool:
        """True if a model or an instance of this name was in the list that a box sent last."""
        return any(box.catalogue.find(name) for box in self._boxes.values())

    def model_of(self, name: str) -> str:
        """Return the key of the model that a box listed last under this name, the name itself if none did."""
        models = (box.catalogue.find(name) for box in self._boxes.values())
        return next((model.key for model in models if model is not None), name)

    async def list_names(self) -> None:
        """Request each box's list of models, for a second at most. If that fails, they are unchanged."""

        async def list_models(box: Box) -> None:
            with suppress(TimeoutError, GatewayError):
                async with asyncio.timeout(LIST_SECONDS):
                    await box.list_models()

        await asyncio.gather(*map(list_models, self._boxes.values()))
