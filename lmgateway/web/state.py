"""The keys of all state that the application and its requests hold."""

from __future__ import annotations

from aiohttp import web

from ..access.keys import Keys
from ..access.limits import RateLimits
from ..access.response_ids import ResponseIds
from ..boxes.fleet import Fleet
from ..models.active import ActiveModelRegistry
from ..models.lifecycle import ModelLifecycle
from ..observe.activity import Activity
from ..observe.capacity import Capacity
from ..observe.event_stream import Events
from ..observe.model_labels import ModelLabels
from ..observe.prometheus import Metrics
from ..observe.queue_metrics import QueueMetrics
from ..scheduling.line_reports import LineReports
from ..scheduling.residency.origins import Origins
from ..scheduling.scheduler import Scheduler
from ..storage.database import Database
from ..storage.known_models import KnownModels
from ..storage.ledger import Ledger
from ..turns import Turns
from .context import RequestContext
from .openapi.published import Documents
from .operations.areas import Areas
from .owners import Owners
from .qr import QrCodes
from .rules_in_force import RulesInForce
from .waiting_streams import WaitingStreams

# Of the application
ACTIVE_MODELS = web.AppKey("active_models", ActiveModelRegistry)
ACTIVITY = web.AppKey("activity", Activity)
AREAS = web.AppKey("areas", Areas)
KNOWN_MODELS = web.AppKey("known_models", KnownModels)
KEYS = web.AppKey("keys", Keys)
DATABASE = web.AppKey("database", Database)
DOCUMENTS = web.AppKey("documents", Documents)
EVENTS = web.AppKey("events", Events)
FLEET = web.AppKey("fleet", Fleet)
HELD_BODIES = web.AppKey("held_bodies", Capacity)
LEDGER = web.AppKey("ledger", Ledger)
LINE_REPORTS = web.AppKey("line_reports", LineReports)
METRICS = web.AppKey("metrics", Metrics)
MODEL_LABELS = web.AppKey("model_labels", ModelLabels)
MODELS = web.AppKey("models", ModelLifecycle)
ORIGINS = web.AppKey("origins", Origins)
OWNERS = web.AppKey("owners", Owners)
QR_CODES = web.AppKey("qr_codes", QrCodes)
QUEUE_METRICS = web.AppKey("queue_metrics", QueueMetrics)
RATE_LIMITS = web.AppKey("rate_limits", RateLimits)
RESPONSE_IDS = web.AppKey("response_ids", ResponseIds)
RULES_IN_FORCE = web.AppKey("rules_in_force", RulesInForce)
SCHEDULER = web.AppKey("scheduler", Scheduler)
STARTED = web.AppKey("started", float)
TURNS = web.AppKey("turns", Turns)
WAITING_STREAMS = web.AppKey("waiting_streams", WaitingStreams)

# Of a request
CONTEXT = web.RequestKey("context", RequestContext)
EXPECTS_CONTINUE = web.RequestKey("expects_continue", bool)


def owners_of(app: web.Application) -> Owners:
    """Return what its proxied requests need. To be called when it has all of them."""
    return Owners(
        active_models=app[ACTIVE_MODELS],
        activity=app[ACTIVITY],
        areas=app[AREAS],
        held_bodies=app[HELD_BODIES],
        keys=app[KEYS],
        ledger=app[LEDGER],
        rate_limits=app[RATE_LIMITS],
        response_ids=app[RESPONSE_IDS],
        rules_in_force=app[RULES_IN_FORCE],
        scheduler=app[SCHEDULER],
        waiting_streams=app[WAITING_STREAMS],
    )
