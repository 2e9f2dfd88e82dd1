"""The operations below /admin."""

from __future__ import annotations

from ...errors import Conflict, LoadCancelled, ModelNotFound, StateNotSaved, StudioFailed, UpstreamSilent
from .. import admin
from . import examples
from .error_kinds import OF_JSON_BODIES, OF_MODELS, OF_STUDIO_CALLS
from .operation import Operation, answer, json_of

TAG = "Models"

ADMIN_OPERATIONS = (
    Operation(
        "GET",
        "/admin/models",
        admin.list_models,
        scope="models",
        tag=TAG,
        summary="List what LM Studio has in memory and on disk",
        answers={200: answer("Both lists.", examples.MODELS)},
        raises=OF_STUDIO_CALLS,
    ),
    Operation(
        "POST",
        "/admin/models/load",
        admin.load,
        scope="models",
        tag=TAG,
        summary="Load a model, and make it the active one",
        description=(
            "The answer comes when the model is loaded; `/debug/stream` tells of its progress. The load goes "
            "on if whoever asked for it leaves, and whoever asks for the same one meanwhile waits for it too."
        ),
        body=json_of(examples.LOAD),
        answers={200: answer("It is loaded.", examples.LOADED)},
        raises=(*OF_JSON_BODIES, *OF_MODELS, Conflict, LoadCancelled, StateNotSaved),
    ),
    Operation(
        "POST",
        "/admin/models/load/cancel",
        admin.cancel_load,
        scope="models",
        tag=TAG,
        summary="Take back a load that is in progress",
        description="Whoever waited for it gets 409.",
        body=json_of(examples.INSTANCE),
        answers={200: answer("It was taken back.", examples.LOAD_CANCELLED)},
        raises=(*OF_JSON_BODIES, ModelNotFound, Conflict, UpstreamSilent),
    ),
    Operation(
        "POST",
        "/admin/models/unload",
        admin.unload,
        scope="models",
        tag=TAG,
        summary="Unload a model",
        description=(
            "With an `instanceId` exactly that instance, else every one of that model key, path or "
            "identifier. If the active model goes, no other takes its place."
        ),
        body=json_of(examples.INSTANCE),
        answers={
            200: answer("It is unloaded.", examples.UNLOADED),
            404: answer("Nothing of that name is loaded.", examples.NOT_UNLOADED),
        },
        raises=(*OF_JSON_BODIES, *OF_MODELS, StateNotSaved),
    ),
    Operation(
        "POST",
        "/admin/models/activate",
        admin.activate,
        scope="models",
        tag=TAG,
        summary="Make a model the active one",
        description=(
            "It answers requests that name no model, and its `defaultInference` fills in what they leave "
            "out. Nothing is loaded."
        ),
        body=json_of(examples.ACTIVATE),
        answers={200: answer("It is active.", examples.ACTIVATED)},
        raises=(*OF_JSON_BODIES, StudioFailed, StateNotSaved),
    ),
    Operation(
        "POST",
        "/admin/models/deactivate",
        admin.deactivate,
        scope="models",
        tag=TAG,
        summary="Forget the active model",
        body=json_of(examples.DEACTIVATE),
        answers={200: answer("What is active now.", examples.DEACTIVATED)},
        raises=(*OF_JSON_BODIES, StateNotSaved),
    ),
    Operation(
        "GET",
        "/admin/models/active",
        admin.active_models,
        scope="models",
        tag=TAG,
        summary="Tell which models are active",
        answers={200: answer("What is active.", examples.ACTIVE)},
    ),
)
