"""The operations of /admin."""

from __future__ import annotations

from ...errors import (
    BoxAsleep,
    BoxNotFound,
    Conflict,
    LoadCancelled,
    ModelNotFound,
    StateNotSaved,
    UpstreamSilent,
)
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
        description=(
            "The models of all LM Studios. One of several that doesn't answer, and one that is left alone "
            "because it is idle, has those that were known last. While it is down, none are in its memory."
        ),
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
            "The response is sent when the model is in memory, which can take minutes; `/debug/stream` has "
            "its progress. The load goes on if the client disconnects. If the same load is in progress, "
            "the request waits for it. If the model is in memory already, the answer is its instance, and "
            "`message` says so; it is 409 if the request has other settings than the instance. "
            "`instanceId` or `another` loads the model once more. Without a `box` it is loaded where a "
            "request for it would have it loaded."
        ),
        body=json_of(examples.LOAD),
        answers={
            200: answer("The instance in memory, and the settings that LM Studio applied.", examples.LOADED)
        },
        raises=(
            *OF_JSON_BODIES,
            *OF_MODELS,
            BoxNotFound,
            BoxAsleep,
            Conflict,
            LoadCancelled,
            StateNotSaved,
        ),
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
        answers={200: answer("The load that was cancelled.", examples.LOAD_CANCELLED)},
        raises=(*OF_JSON_BODIES, ModelNotFound, BoxNotFound, Conflict, UpstreamSilent),
    ),
    Operation(
        "POST",
        "/admin/models/unload",
        admin.unload,
        scope="models",
        tag=TAG,
        summary="Unload a model",
        description=(
            "Without an `instanceId`, all instances of the model are unloaded, and without a `box` on all "
            "LM Studios that are up; `modelKey` may also be its path, or the identifier of an instance. An "
            "instance gets no new requests, and is unloaded "
            "when those that run on it have ended. If that takes longer than `drainSeconds`, the response "
            "is 409 and the instance stays. It stays too if the client disconnects before that. `force` "
            "ends what runs. If the active model is unloaded, no model is active until another one is "
            "activated."
        ),
        body=json_of(examples.UNLOAD),
        answers={
            200: answer("What was unloaded, and how long it took.", examples.UNLOADED),
            404: answer("No loaded instance has this name.", examples.NOT_UNLOADED),
        },
        raises=(*OF_JSON_BODIES, *OF_MODELS, BoxNotFound, Conflict, StateNotSaved),
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
