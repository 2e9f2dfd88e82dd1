"""create_app(config): who owns what, the order of the middlewares, the routes. Wiring, nothing else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from aiohttp import web

from .access.cors import Cors
from .access.guard import Guard
from .config import Config
from .state import CONFIG, CORS, GUARD, MODELS, REQUEST_FIELDS, STARTED, UPSTREAM
from .studio.models import Models
from .traffic.headers import RequestFields
from .traffic.target import PROXIED_PREFIXES
from .traffic.upstream import Upstream
from .web import admin, health
from .web.bodies import expect_nothing
from .web.middleware import MIDDLEWARES, add_headers
from .web.proxy import proxy


def create_app(config: Config) -> web.Application:
    """Return the gateway. Nothing is connected before it starts, and LM Studio needn't be there even then."""
    app = web.Application(middlewares=MIDDLEWARES)
    guard = Guard(config)
    app[CONFIG] = config
    app[CORS] = Cors(config)
    app[GUARD] = guard
    app[MODELS] = Models()
    app[REQUEST_FIELDS] = RequestFields(is_key=guard.keys.occurs_in, api_token=config.lmstudio.api_token)
    app[STARTED] = time.monotonic()
    app[UPSTREAM] = Upstream(config)
    app.cleanup_ctx.append(_upstream)
    app.on_response_prepare.append(add_headers)
    _add_routes(app.router)
    return app


async def _upstream(app: web.Application) -> AsyncIterator[None]:
    async with app[UPSTREAM]:
        yield


def _add_routes(router: web.UrlDispatcher) -> None:
    router.add_get("/", health.root)
    router.add_get("/health", health.health)
    router.add_get("/health/ready", health.ready)
    router.add_post("/admin/models/activate", admin.activate, expect_handler=expect_nothing)
    for prefix in PROXIED_PREFIXES:
        # {tail} matches any path, so that the exact bytes are judged in one place, traffic/target.py.
        for path in (prefix, prefix + "/{tail:.*}"):
            router.add_route("*", path, proxy, expect_handler=expect_nothing)
