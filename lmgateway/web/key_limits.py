"""Keeps a request within the limits of its key, before it is sent to LM Studio."""

from __future__ import annotations

from aiohttp import web

from ..observe.exchange import Exchange
from .state import KEY_QUEUES, RATE_LIMITS


async def take_turn(app: web.Application, exchange: Exchange, *, waits: bool) -> None:
    """Count the request and, if it `waits`, return when it may run. Raises RateLimitExceeded."""
    rates, queues = app[RATE_LIMITS], app[KEY_QUEUES]
    rates.admit(exchange.key)
    if waits and not queues.enter(exchange):
        await queues.wait(exchange)
        # Those before it in line may have used up the tokens meanwhile.
        rates.admit_after_wait(exchange.key)
