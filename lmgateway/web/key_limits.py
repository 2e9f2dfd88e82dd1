"""Keeps a request within the limits of its key, before it is sent to LM Studio."""

from __future__ import annotations

from aiohttp import web

from ..observe.exchange import Exchange
from .state import KEY_QUEUES, RATE_LIMITS


async def take_turn(app: web.Application, exchange: Exchange, *, waits: bool) -> None:
    """Count the request and, if it `waits`, return when it may run. Raises RateLimitExceeded."""
    rates = app[RATE_LIMITS]
    rates.admit(exchange.key)
    if waits and await app[KEY_QUEUES].wait(exchange):
        # Those before it in line may have used up the tokens meanwhile.
        rates.admit_after_wait(exchange.key)
