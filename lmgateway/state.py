"""Everything that the application and its requests hold, on one screen."""

from __future__ import annotations

from aiohttp import web

from .access.cors import Cors
from .access.guard import Guard
from .config import Config
from .observe.activity import Activity
from .observe.events import Events
from .observe.exchange import Exchange
from .observe.prometheus import Metrics
from .studio.client import StudioClient
from .studio.models import Models
from .traffic.headers import RequestFields
from .traffic.upstream import Upstream

# Of the application
ACTIVITY = web.AppKey("activity", Activity)
CONFIG = web.AppKey("config", Config)
CORS = web.AppKey("cors", Cors)
EVENTS = web.AppKey("events", Events)
GUARD = web.AppKey("guard", Guard)
METRICS = web.AppKey("metrics", Metrics)
MODELS = web.AppKey("models", Models)
REQUEST_FIELDS = web.AppKey("request_fields", RequestFields)
STARTED = web.AppKey("started", float)
STUDIO = web.AppKey("studio", StudioClient)
UPSTREAM = web.AppKey("upstream", Upstream)

# Of a request
EXCHANGE = web.RequestKey("exchange", Exchange)
EXPECTS_CONTINUE = web.RequestKey("expects_continue", bool)
