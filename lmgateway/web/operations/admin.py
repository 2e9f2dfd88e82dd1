"""The operations of /admin."""

from __future__ import annotations

from ...errors import Conflict, LoadCancelled, ModelNotFound, StateNotSaved, UpstreamSilent
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
        summary="List the models in memory and on disk",
        answers={200: answer("The models in memory, and those on disk.", examples.MODELS)},
        raises=OF_STUDIO_CALLS,
    ),
    Operation(
        "POST",
        "/admin/models/load",
        admin.load,
        scope="models",
        tag=TAG,
        summary="Load a model, and by default make it the active one",
        description=(
            "The response is sent when the model is loaded; `/debug/stream` has events of the progress. The "
            "load continues if the client disconnects. A second request for the same load joins the one in "
            "progress. If the model has an instance already, that one is the answer, and `message` says so; "
            "409 if the request has other settings. `instanceId` or `another` loads one more."
        ),
        body=json_of(examples.LOAD),
        answers={200: answer("The instance, and the settings that LM Studio applied.", examples.LOADED)},
        raises=(*OF_JSON_BODIES, *OF_MODELS, Conflict, LoadCancelled, StateNotSaved),
    ),
    Operation(
        "POST",
        "/admin/models/load/cancel",
        admin.cancel_load,
        scope="models",
        tag=TAG,
        summary="Cancel a load in progress",
        description="Requests that wait for the load are answered with 409.",
        body=json_of(examples.INSTANCE),
        answers={200: answer("The load was cancelled.", examples.LOAD_CANCELLED)},
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
            "With an `instanceId`, unloads that instance. Otherwise `modelKey` may be a model's key or path, "
            "or an instance's identifier, and all matching instances are unloaded at the same time. Each "
            "gets no new requests, and is unloaded when those that run on it have ended. After "
            "`drainSeconds` the response is 409, and it stays, as it does if the client disconnects before "
            "that. `force` ends what runs. If the active model is unloaded, no model is active until another "
            "is activated."
        ),
        body=json_of(examples.UNLOAD),
        answers={
            200: answer("The instances were unloaded.", examples.UNLOADED),
            404: answer("No loaded instance has this name.", examples.NOT_UNLOADED),
        },
        raises=(*OF_JSON_BODIES, *OF_MODELS, Conflict, StateNotSaved),
    ),
    Operation(
        "POST",
        "/admin/models/activate",
        admin.activate,
        scope="models",
        tag=TAG,
        summary="Make a model the active one",
        description=(
            "The active model answers requests without a `model`. Its `defaultInference` supplies parameters "
            "that they leave out. Nothing is loaded. A `modelKey` that LM Studio doesn't have is 404, unless "
            "`force` is true or LM Studio can't be asked."
        ),
        body=json_of(examples.ACTIVATE),
        answers={200: answer("The active model. `message` says if it isn't loaded.", examples.ACTIVATED)},
        raises=(*OF_JSON_BODIES, ModelNotFound, StateNotSaved),
    ),
    Operation(
        "POST",
        "/admin/models/deactivate",
        admin.deactivate,
        scope="models",
        tag=TAG,
        summary="Clear the active model",
        body=json_of(examples.DEACTIVATE),
        answers={
            200: answer(
                "The active models after the change; `null` where none is active.", examples.DEACTIVATED
            )
        },
        raises=(*OF_JSON_BODIES, StateNotSaved),
    ),
    Operation(
        "GET",
        "/admin/models/active",
        admin.active_models,
        scope="models",
        tag=TAG,
        summary="Get the active models",
        answers={200: answer("The active model of each kind; `null` where none is active.", examples.ACTIVE)},
    ),
)
