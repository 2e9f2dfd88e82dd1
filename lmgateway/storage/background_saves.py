"""Saves what an owner has changed, in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from .. import background
from ..errors import StateNotSaved

Batch = TypeVar("Batch")


class BackgroundSaves(Generic[Batch]):
    """Saves one batch of changes at a time, so that an older value never replaces a newer one.

    `take` returns what isn't saved yet, and counts it as saved; None if everything is. `save` saves it, or
    raises StateNotSaved, which the database logs and counts. Then `put_back` gets it: it is tried again with
    the next change, or by `close`.
    """

    def __init__(
        self,
        take: Callable[[], Batch | None],
        save: Callable[[Batch], Awaitable[None]],
        put_back: Callable[[Batch], None],
    ) -> None:
        self._take = take
        self._save_batch = save
        self._put_back = put_back
        self._has_changed = False
        self._task: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Have saved what has changed."""
        self._has_changed = True
        if self._task is None or self._task.done():
            self._task = background.start(self._save())

    async def close(self) -> None:
        """Save what isn't saved yet. Nothing may change afterwards."""
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._save()

    async def _save(self) -> None:
        while (batch := self._take()) is not None:
            self._has_changed = False
            try:
                await self._save_batch(batch)
            except StateNotSaved:
                self._put_back(batch)
                if not self._has_changed:
                    return
