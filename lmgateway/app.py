"""create_app(config): makes the owners of all state and connects them. Wiring, nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from aiohttp import web

from . import background, lifespan
from .access.keyring import Keyring
from .access.keys import Keys
from .access.limits import RateLimits
from .access.response_ids import ResponseIds
from .boxes.fleet import Fleet
from .config import Config
from .models.active import ActiveModelRegistry
from .models.lifecycle import ModelLifecycle
from .observe.activity import Activity
from .observe.event_stream import Events
from .observe.model_labels import ModelLabels
from .observe.prometheus import Metrics
from .observe.queue_metrics import QueueMetrics
from .scheduling.announcements import Announcements
from .scheduling.line_reports import LineReports
from .scheduling.notices import Notices
from .scheduling.residency.origins import Origins
from .scheduling.scheduler import Scheduler
from .storage.active_models import SavedActiveModels
from .storage.database import Database
from .storage.keys import SavedKeys
from .storage.known_models import KnownModels, SavedKnownModels
from .storage.ledger import Ledger
from .storage.residency import SavedResidency
from .storage.response_ids import SavedResponseIds
from .storage.state_folder import state_directory
from .storage.usage import SavedUsage
from .turns import Turns
from .web.held_bodies import held_bodies
from .web.middleware import MIDDLEWARES, add_headers
from .web.openapi.published import Documents
from .web.operations.areas import Areas
from .web.operations.routes import OPERATIONS, add_routes
from .web.qr import QrCodes
from .web.rules_in_force import RulesInForce
from .web.ruleset import Ruleset, Settings
from .web.state import (
    ACTIVE_MODELS,
    ACTIVITY,
    AREAS,
    DATABASE,
    DOCUMENTS,
    EVENTS,
    FLEET,
    HELD_BODIES,
    KEYS,
    KNOWN_MODELS,
    LEDGER,
    LINE_REPORTS,
    METRICS,
    MODEL_LABELS,
    MODELS,
    ORIGINS,
    OWNERS,
    QR_CODES,
    QUEUE_METRICS,
    RATE_LIMITS,
    RESPONSE_IDS,
    RULES_IN_FORCE,
    SCHEDULER,
    STARTED,
    TURNS,
    WAITING_STREAMS,
    owners_of,
)
from .web.waiting_streams import WaitingStreams


def create_app(
    config: Config, settings: Settings = (), *, on_failure: Callable[[BaseException], None] | None = None
) -> web.Application:
    """Return the gateway. It connects to nothing before it starts, and starts without LM Studio too.

    `settings` are what admins may see of the configuration. `on_failure` is called if the thread that writes
    its state has died.
    """
    app = web.Application(middlewares=MIDDLEWARES)
    # Events are numbered from the current time on, so a number from before a restart is lower: a reader that
    # reconnects with it gets all events since the restart.
    app[EVENTS] = Events(after=time.time_ns() // 1000)
    app[METRICS] = Metrics()
    app[ACTIVITY] = Activity(app[EVENTS], app[METRICS], lambda name: app[FLEET].model_of(name))
    app[DATABASE] = Database(
        state_directory(config.server.state_dir), on_failure=on_failure or background.raise_in_loop
    )
    app[ORIGINS] = Origins(SavedResidency(app[DATABASE]))
    app[KNOWN_MODELS] = KnownModels(SavedKnownModels(app[DATABASE]))
    app[FLEET] = Fleet(config.studios, app[ACTIVITY], app[ORIGINS], app[KNOWN_MODELS])
    app[HELD_BODIES] = held_bodies()
    app[RULES_IN_FORCE] = RulesInForce(Ruleset(config, app[FLEET].boxes, settings=settings))
    app[RATE_LIMITS] = RateLimits()
    app[ACTIVITY].add_end_listener(app[RATE_LIMITS].exchange_ended)
    app[KEYS] = Keys(
        SavedKeys(app[DATABASE]),
        app[EVENTS],
        owner_key=lambda: app[RULES_IN_FORCE].current.config.auth.api_key,
        on_change=partial(_apply_keys, app),
    )
    app[RESPONSE_IDS] = ResponseIds(SavedResponseIds(app[DATABASE]))
    app[ACTIVE_MODELS] = ActiveModelRegistry(SavedActiveModels(app[DATABASE]), app[ACTIVITY])
    _add_accounting(app)
    app[SCHEDULER] = Scheduler(config, app[FLEET], _make_onlooker(app), app[ORIGINS], app[ACTIVITY])
    app[MODELS] = ModelLifecycle(app[ACTIVE_MODELS], app[ACTIVITY], app[SCHEDULER].wishes)
    app[STARTED] = time.monotonic()
    app[TURNS], app[WAITING_STREAMS], app[QR_CODES] = Turns(), WaitingStreams(), QrCodes()
    lifespan.set_up(app)
    app.on_response_prepare.append(add_headers)
    app[AREAS] = Areas()
    app[OWNERS] = owners_of(app)
    app[DOCUMENTS] = Documents(OPERATIONS)
    add_routes(app.router, app[AREAS])
    return app


def _add_accounting(app: web.Application) -> None:
    """Have the metrics and the ledger count each exchange that ends."""
    app[MODEL_LABELS] = ModelLabels(
        lambda name: (
            app[FLEET].lists(name)
            or app[ACTIVE_MODELS].is_active(name)
            or name in app[RULES_IN_FORCE].current.config.models
        ),
        app[FLEET].list_names,
        app[EVENTS].faults,
    )
    app[MODEL_LABELS].add_consumer(app[METRICS].ended)
    app[ACTIVITY].add_consumer(app[MODEL_LABELS].add)
    app[LEDGER] = Ledger(
        SavedUsage(app[DATABASE]),
        app[MODEL_LABELS],
        model_of=app[FLEET].model_of,
        keep_days=lambda: app[RULES_IN_FORCE].current.config.usage.keep_days,
    )


def _make_onlooker(app: web.Application) -> Notices:
    """Have what happens in the line counted and reported."""
    app[QUEUE_METRICS] = QueueMetrics(app[MODEL_LABELS].label)
    reports = app[LINE_REPORTS] = LineReports(
        lambda: app[SCHEDULER].line,
        lambda: [station.residency for station in app[SCHEDULER].stations],
        lambda: {exchange.request_id: exchange.phase for exchange in app[ACTIVITY].running},
    )
    announcements = Announcements(app[EVENTS], reports.forecast)
    return Notices(app[LEDGER], app[QUEUE_METRICS], announcements, app[EVENTS].faults)


def make_rules(app: web.Application, config: Config, settings: Settings = ()) -> Ruleset:
    """Return the rules of a new configuration. Nothing has changed before they are put in force."""
    return Ruleset(config, app[FLEET].reconfigured(config.studios), app[KEYS].ring, settings)


def put_in_force(app: web.Application, rules: Ruleset) -> None:
    """Apply new rules to new requests. Running ones go on under the old rules; no client is disconnected.

    It must not wait in between: a request would begin with the rules of one configuration and the LM Studio
    of another. A new address, port or state folder takes effect only at the next start.
    """
    for name in app[FLEET].moved(rules.boxes):
        app[RESPONSE_IDS].forget_box(name)
    app[FLEET].replace(rules.boxes)
    app[RULES_IN_FORCE].replace(rules)
    app[SCHEDULER].reconfigure(rules.config)
    app[KEYS].warn_if_unmanaged()


def _apply_keys(app: web.Application, ring: Keyring) -> None:
    # The rules first: they end the requests of a key that is gone, so that none of its waiting ones runs.
    app[RULES_IN_FORCE].replace(app[RULES_IN_FORCE].current.with_keys(ring))
    app[RATE_LIMITS].apply(ring)
    app[SCHEDULER].apply(ring)
