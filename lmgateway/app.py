"""create_app(config): who owns what, the order of the middlewares. Wiring, nothing else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from aiohttp import web

from . import background
from .boxes.http.client import Upstream
from .boxes.log.follower import LogFollowing
from .boxes.sdk.calls import StudioClient
from .config import Config
from .models.active import Models
from .observe import vitals
from .observe.activity import Activity
from .observe.events import Events
from .observe.prometheus import Metrics
from .storage.active_models import SavedActiveModels
from .storage.database import Database
from .storage.state_folder import state_directory
from .web.middleware import MIDDLEWARES, add_headers
from .web.openapi.routes import add_routes
from .web.policy import Policies
from .web.state import (
    ACTIVITY,
    DATABASE,
    EVENTS,
    LOG_FOLLOWING,
    METRICS,
    MODELS,
    POLICIES,
    STARTED,
    STUDIO,
    UPSTREAM,
)


def create_app(config: Config) -> web.Application:
    """Return the gateway. Nothing is connected before it starts, and LM Studio needn't be there even then."""
    app = web.Application(middlewares=MIDDLEWARES)
    app[POLICIES] = Policies(config)
    # Of the time, so that a reader that comes back after a restart is told all that happened since.
    app[EVENTS] = Events(after=time.time_ns() // 1000)
    app[METRICS] = Metrics()
    app[ACTIVITY] = Activity(app[EVENTS], app[METRICS])
    app[STUDIO] = StudioClient(config.lmstudio)
    app[DATABASE] = Database(state_directory(config.server.state_dir))
    app[MODELS] = Models(app[STUDIO], app[ACTIVITY], SavedActiveModels(app[DATABASE]))
    app[LOG_FOLLOWING] = LogFollowing(app[EVENTS], app[ACTIVITY].prompt_progressed)
    app[STARTED] = time.monotonic()
    app[UPSTREAM] = Upstream(config.lmstudio)
    app.cleanup_ctx.extend((_database, _upstream, _studio, _vitals, _log))
    app.on_shutdown.append(_end_events)
    app.on_response_prepare.append(add_headers)
    add_routes(app.router)
    return app


async def reconfigure(app: web.Application, config: Config) -> None:
    """Put another configuration in force. What has begun goes on as it began, and nobody is disconnected.

    Address, port and state folder stay as they were at the start.
    """
    app[POLICIES].replace(config)
    app[UPSTREAM].reconfigure(config.lmstudio)
    app[STUDIO].reconfigure(config.lmstudio)
    await app[LOG_FOLLOWING].apply(config.lmstudio)


async def _database(app: web.Application) -> AsyncIterator[None]:
    await app[DATABASE].open()
    yield
    await app[DATABASE].close()


async def _upstream(app: web.Application) -> AsyncIterator[None]:
    async with app[UPSTREAM]:
        yield


async def _studio(app: web.Application) -> AsyncIterator[None]:
    await app[MODELS].remember()
    yield
    await app[MODELS].close()
    await app[STUDIO].close()


async def _log(app: web.Application) -> AsyncIterator[None]:
    await app[LOG_FOLLOWING].apply(app[POLICIES].current.config.lmstudio)
    yield
    await app[LOG_FOLLOWING].close()


async def _vitals(app: web.Application) -> AsyncIterator[None]:
    async with background.running(
        vitals.watch_lag(app[METRICS]),
        vitals.watch_descriptors(),
        vitals.give_memory_back(app[ACTIVITY]),
    ):
        yield


async def _end_events(app: web.Application) -> None:
    # Before the server waits for running requests: an open event stream is one, and would never end.
    app[EVENTS].close()
