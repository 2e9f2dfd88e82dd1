"""The slots of an instance, the queue before them, and the KV cache that they share."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from .faults import CacheFull, Fault
from .occupancy import Occupancy

Status = Literal["processingPrompt", "generating", "computingEmbedding"]

Prefill = Literal["stop", "slow", "ignore"]
"""What a prompt's processing does to the other generations of its instance."""


class Use:
    """A request on an instance: in the queue, then in a slot."""

    def __init__(self, status: Status) -> None:
        self.status = status
        self.tokens = 0
        """The request's tokens in the KV cache."""
        self.fault: Callable[[], Fault] | None = None
        """The error by which the instance ended the request."""
        self.awakened = asyncio.Event()
        """Set when the request gets a slot, or was ended while it waited for one."""

    def check(self) -> None:
        """Raise the error by which the instance ended the request."""
        if self.fault is not None:
            raise self.fault()


class Slots:
    """At most `count` requests run at once; more wait in arrival order, and nobody tells them so.

    With a unified cache, all requests in slots share `context_length` tokens. A request in excess of the
    context on its own isn't this class's concern, nor is a cache that isn't unified: there each slot has the
    whole context length.
    """

    def __init__(
        self,
        count: int,
        *,
        context_length: int,
        unified_cache: bool,
        prefill: Prefill,
        share_speed: bool = True,
        occupancies: Iterable[Occupancy] = (),
    ) -> None:
        self.count = count
        self.running: list[Use] = []
        self.waiting: deque[Use] = deque()
        self._context_length = context_length
        self._unified_cache = unified_cache
        self._prefill = prefill
        self._share_speed = share_speed
        self._occupancies = tuple(occupancies)
        self._counted = (0, 0)
        self._unstalled = asyncio.Event()
        self._changed()

    @property
    def uses(self) -> Sequence[Use]:
        """The requests in slots, then those that wait."""
        return (*self.running, *self.waiting)

    def join(self, use: Use) -> None:
        self.waiting.append(use)
        self._changed()

    def leave(self, use: Use) -> None:
        """Free the request's slot, or its place in the queue. Does nothing for one that has left before."""
        if use in self.running:
            self.running.remove(use)
        elif use in self.waiting:
            self.waiting.remove(use)
        self._changed()

    def end_prompt(self, use: Use) -> None:
        if use.status == "processingPrompt":
            use.status = "generating"
        self._changed()

    def take(self, use: Use, tokens: int) -> None:
        """Add tokens to the KV cache. A unified cache that several requests overfill ends all of them."""
        use.tokens += tokens
        total = sum(one.tokens for one in self.running)
        if self._unified_cache and len(self.running) > 1 and total > self._context_length:
            self._end(self.running, CacheFull)
            self.running.clear()
            self._changed()

    def end_all(self, fault: Callable[[], Fault]) -> None:
        """End every request, in a slot or waiting: the instance is gone."""
        self._end(self.uses, fault)
        self.running.clear()
        self.waiting.clear()
        self._changed()

    def load(self) -> tuple[int, int]:
        """Return how many requests generate and how many prompts are processed, as far as that slows them."""
        if not self._share_speed:
            return 1, 0
        prompts = sum(one.status == "processingPrompt" for one in self.running)
        generating = len(self.running) - prompts
        return generating, 0 if self._prefill == "ignore" else prompts

    def is_stalled(self) -> bool:
        """True while a prompt's processing stops all generations."""
        return not self._unstalled.is_set()

    async def until_not_stalled(self) -> None:
        await self._unstalled.wait()

    def _changed(self) -> None:
        while self.waiting and len(self.running) < self.count:
            use = self.waiting.popleft()
            self.running.append(use)
            use.awakened.set()
        if self._prefill == "stop" and self.load()[1] > 0:
            self._unstalled.clear()
        else:
            self._unstalled.set()
        running, waiting = self._counted
        self._counted = (len(self.running), len(self.waiting))
        for occupancy in self._occupancies:
            occupancy.change(running=self._counted[0] - running, queued=self._counted[1] - waiting)

    def _end(self, uses: Iterable[Use], fault: Callable[[], Fault]) -> None:
        for use in uses:
            use.fault = fault
            use.awakened.set()
