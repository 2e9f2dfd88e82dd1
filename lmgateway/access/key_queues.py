"""Lets as many requests of a key run at once as its `limits.running` allows; the others wait in line."""

from __future__ import annotations

import asyncio
from time import monotonic

from ..observe.exchange import Exchange
from .keyring import NO_KEYS, Keyring


class _Queue:
    """The requests of one key, those that wait in the order in which they began to."""

    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running: set[Exchange] = set()
        self.waiting: dict[Exchange, asyncio.Future[None]] = {}


class KeyQueues:
    """The owner of the running and the waiting requests of each key.

    A request leaves when its exchange ends, however that happens, so nothing is given back anywhere else.
    """

    def __init__(self) -> None:
        self._ring = NO_KEYS
        self._queues: dict[str, _Queue] = {}

    def apply(self, ring: Keyring) -> None:
        """Put the limits of these keys in force: one that was raised lets waiting requests run at once."""
        self._ring = ring
        for key, queue in self._queues.items():
            self._advance(key, queue)

    def enter(self, exchange: Exchange) -> bool:
        """Return whether the request may run at once. Otherwise it must wait."""
        key = exchange.key
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue()
        # Also those count that run without a limit: it may get one.
        if queue.waiting or not self._has_room(key, queue):
            return False
        queue.running.add(exchange)
        return True

    async def wait(self, exchange: Exchange) -> None:
        """Return when a request that may not run at once has its turn."""
        queue = self._queues[exchange.key]
        began = monotonic()
        turn = queue.waiting[exchange] = asyncio.get_running_loop().create_future()
        try:
            await turn
        finally:
            exchange.waited(monotonic() - began)

    def exchange_ended(self, exchange: Exchange) -> None:
        queue = self._queues.get(exchange.key)
        if queue is None:
            return
        queue.running.discard(exchange)
        queue.waiting.pop(exchange, None)
        if queue.waiting:
            self._advance(exchange.key, queue)
        elif not queue.running:
            del self._queues[exchange.key]

    def _advance(self, key: str, queue: _Queue) -> None:
        while queue.waiting and self._has_room(key, queue):
            exchange = next(iter(queue.waiting))
            turn = queue.waiting.pop(exchange)
            queue.running.add(exchange)
            if not turn.done():  # cancelled: it leaves when its task runs
                turn.set_result(None)

    def _has_room(self, key: str, queue: _Queue) -> bool:
        named = self._ring.keys.get(key)
        limit = None if named is None else named.settings.limits.running
        return limit is None or len(queue.running) < limit
