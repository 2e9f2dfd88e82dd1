"""The order of start and shutdown: each owner's background work, from its restored state to its saved one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from . import background
from .observe import vitals
from .observe.clock import day_start, unix_time
from .web.state import (
    ACTIVE_MODELS,
    ACTIVITY,
    DATABASE,
    EVENTS,
    FLEET,
    KEYS,
    KNOWN_MODELS,
    LEDGER,
    METRICS,
    MODELS,
    ORIGINS,
    QR_CODES,
    RATE_LIMITS,
    RESPONSE_IDS,
    SCHEDULER,
)


def set_up(app: web.Application) -> None:
    """Have the owners start in this order with the application, and stop in the reverse one."""
    app.cleanup_ctx.extend(
        (_database, _keys, _response_ids, _fleet, _scheduler, _models, _ledger, _vitals, _qr_codes)
    )
    app.on_shutdown.extend((_end_events, _end_waiting))


async def _database(app: web.Application) -> AsyncIterator[None]:
    try:
        await app[DATABASE].open()
        yield
    finally:
        await app[DATABASE].close()


async def _keys(app: web.Application) -> AsyncIterator[None]:
    keys = app[KEYS]
    await keys.restore()
    app[RATE_LIMITS].restore(await app[LEDGER].tokens_since(day_start(unix_time())))
    async with background.running(keys.watch_ends, keys.save_uses):
        yield
    await keys.close()


async def _response_ids(app: web.Application) -> AsyncIterator[None]:
    await app[RESPONSE_IDS].restore()
    async with background.running(app[RESPONSE_IDS].save):
        yield
    await app[RESPONSE_IDS].close()


async def _fleet(app: web.Application) -> AsyncIterator[None]:
    fleet = app[FLEET]
    await app[ORIGINS].restore()
    fleet.restore(await app[KNOWN_MODELS].restore(box.name for box in fleet.boxes))
    async with fleet:
        yield
    await app[ORIGINS].close()
    await app[KNOWN_MODELS].close()


async def _scheduler(app: web.Application) -> AsyncIterator[None]:
    async with background.running(app[SCHEDULER].keep_watch):
        yield
    await app[SCHEDULER].close()


async def _models(app: web.Application) -> AsyncIterator[None]:
    await app[ACTIVE_MODELS].restore()
    yield
    # Before the registry: an unload that is cancelled here still deactivates the model that it has unloaded.
    await app[MODELS].close()
    await app[ACTIVE_MODELS].close()


async def _ledger(app: web.Application) -> AsyncIterator[None]:
    ledger = app[LEDGER]
    async with background.running(ledger.write_regularly, ledger.delete_regularly):
        yield
    app[ACTIVITY].flush()
    await ledger.close()


async def _vitals(app: web.Application) -> AsyncIterator[None]:
    async with background.running(
        partial(vitals.watch_lag, app[METRICS]),
        vitals.watch_descriptors,
        partial(vitals.collect_garbage, app[ACTIVITY]),
    ):
        yield


async def _qr_codes(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[QR_CODES].close()


async def _end_events(app: web.Application) -> None:
    # At the start of the drain: an open event stream is a running request that would never end by itself.
    app[EVENTS].close()


async def _end_waiting(app: web.Application) -> None:
    app[SCHEDULER].end_waiting()
