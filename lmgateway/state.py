"""Everything that the application and its requests hold, on one screen."""

from __future__ import annotations

from aiohttp import web

from .access.cors import Cors
from .access.guard import Guard
from .config import Config
from .observe.exchange import Exchange
from .studio.models import Models
from .traffic.headers import RequestFields
from .traffic.upstream import Upstream

# Of the application
CONFIG = web.AppKey("config", Config)
CORS = web.AppKey("cors", Cors)
GUARD = web.AppKey("guard", Guard)
MODELS = web.AppKey("models", Models)
REQUEST_FIELDS = web.AppKey("request_fields", RequestFields)
STARTED = web.AppKey("started", float)
UPSTREAM = web.AppKey("upstream", Upstream)

# Of a request
EXCHANGE = web.RequestKey("exchange", Exchange)
