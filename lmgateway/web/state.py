"""Everything that the application and its requests hold, on one screen."""

from __future__ import annotations

from aiohttp import web

from ..boxes.http.client import Upstream
from ..boxes.log.follower import LogFollowing
from ..boxes.sdk.calls import StudioClient
from ..models.active import Models
from ..observe.activity import Activity
from ..observe.events import Events
from ..observe.exchange import Exchange
from ..observe.prometheus import Metrics
from ..storage.database import Database
from .policy import Head, Policies, Policy

# Of the application
ACTIVITY = web.AppKey("activity", Activity)
DATABASE = web.AppKey("database", Database)
EVENTS = web.AppKey("events", Events)
LOG_FOLLOWING = web.AppKey("log_following", LogFollowing)
METRICS = web.AppKey("metrics", Metrics)
MODELS = web.AppKey("models", Models)
POLICIES = web.AppKey("policies", Policies)
STARTED = web.AppKey("started", float)
STUDIO = web.AppKey("studio", StudioClient)
UPSTREAM = web.AppKey("upstream", Upstream)

# Of a request
EXCHANGE = web.RequestKey("exchange", Exchange)
EXPECTS_CONTINUE = web.RequestKey("expects_continue", bool)
HEAD = web.RequestKey("head", Head)
POLICY = web.RequestKey("policy", Policy)
