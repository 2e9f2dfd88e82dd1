"""All boxes, by name."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from ..config import LMStudio
from ..observe.activity import Activity
from .box import Box

ONLY_BOX = "lmstudio"


class Fleet:
    """The owner of the boxes. They are started, reconfigured and closed together."""

    def __init__(self, config: LMStudio, activity: Activity) -> None:
        self._boxes = {ONLY_BOX: Box(ONLY_BOX, config, activity)}
        self._resources = AsyncExitStack()

    @property
    def only(self) -> Box:
        return self._boxes[ONLY_BOX]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:
            for box in self._boxes.values():
                await starting.enter_async_context(box)
            self._resources = starting.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def reconfigure(self, config: LMStudio) -> None:
        await self._boxes[ONLY_BOX].reconfigure(config)
