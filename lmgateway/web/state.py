"""Everything that the application and its requests hold, on one screen."""

from __future__ import annotations

from aiohttp import web

from ..boxes.fleet import Fleet
from ..models.active import ActiveModelRegistry
from ..models.lifecycle import ModelLifecycle
from ..observe.activity import Activity
from ..observe.events import Events
from ..observe.exchange import Exchange
from ..observe.prometheus import Metrics
from .policy import Head, Policies, Policy

# Of the application
ACTIVE_MODELS = web.AppKey("active_models", ActiveModelRegistry)
ACTIVITY = web.AppKey("activity", Activity)
EVENTS = web.AppKey("events", Events)
FLEET = web.AppKey("fleet", Fleet)
METRICS = web.AppKey("metrics", Metrics)
MODELS = web.AppKey("models", ModelLifecycle)
POLICIES = web.AppKey("policies", Policies)
STARTED = web.AppKey("started", float)

# Of a request
EXCHANGE = web.RequestKey("exchange", Exchange)
EXPECTS_CONTINUE = web.RequestKey("expects_continue", bool)
HEAD = web.RequestKey("head", Head)
POLICY = web.RequestKey("policy", Policy)
