"""All boxes, by name."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from ..config import LMStudio
from ..observe.activity import Activity
from .box import Box
from .connections import Connections

ONLY_BOX = "lmstudio"


class Fleet:
    """The owner of the boxes in force and of their connections. Enter it before use."""

    def __init__(self, config: LMStudio, activity: Activity) -> None:
        self._connections = Connections(config, activity)
        self._boxes = {ONLY_BOX: Box(ONLY_BOX, config, self._connections)}

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
        if box is not self.only:
            self._boxes[ONLY_BOX] = box
            self._connections.prefer(box.config)

    def lists(self, name: str) -> bool:
        """True if a model or an instance of this name was in the list that a box sent last."""
        return any(name in box.names for box in self._boxes.values())

    def model_of(self, name: str) -> str:
        """Return the key of the model that a box listed last under this name, the name itself if none did."""
        keys = (box.names.model_of(name) for box in self._boxes.values())
        return next((key for key in keys if key != name), name)

    async def list_names(self) -> None:
        """Request each box's list of names. Takes about a second at most."""
        await asyncio.gather(*(box.list_names() for box in self._boxes.values()))
