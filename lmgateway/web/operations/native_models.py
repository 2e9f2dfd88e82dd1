"""LM Studio's operations on the models in memory, which the gateway answers where it decides about them."""

from __future__ import annotations

from ...errors import Conflict, GatewayEnding, OutOfMemory, StateNotSaved, StudioFailed, ValidationFailed
from ..native_models import LOAD, UNLOAD
from ..proxy import proxy
from . import studio_examples as examples
from .areas import studio_area
from .error_kinds import OF_PROXIED
from .operation import Operation, answer, json_of

TAG = "LM Studio's own API"
CHANGES = "Like `/admin`, this changes the machine, so pages of other origins may not call it."
_OWN = "With `residency.enabled` off it is forwarded."
_AREA = studio_area(LOAD)

NATIVE_MODEL_OPERATIONS = (
    Operation(
        "POST",
        LOAD,
        proxy,
        scope=_AREA.scope,
        styles=_AREA.styles,
        tag=TAG,
        summary="Load a model",
        description=(
            "As `/admin/models/load` does, without making it the active model: it joins a load in progress, "
            f"and the instance that the model has is the answer; 409 if that has other settings. {_OWN} "
            f"{CHANGES}"
        ),
        body=json_of(examples.NATIVE_LOAD),
        answers={
            200: answer(
                "The instance. `X-Ignored` names the settings that this type of model doesn't have, if any.",
                examples.NATIVE_LOADED,
            )
        },
        raises=(*OF_PROXIED, ValidationFailed, StudioFailed, OutOfMemory, Conflict),
    ),
    Operation(
        "POST",
        UNLOAD,
        proxy,
        scope=_AREA.scope,
        styles=_AREA.styles,
        tag=TAG,
        summary="Unload a model",
        description=(
            "As `/admin/models/unload` does: the instance gets no new requests, and is unloaded when those "
            f"that run on it have ended; after 30 s the response is 409, and it stays. {_OWN} {CHANGES}"
        ),
        body=json_of(examples.NATIVE_UNLOAD),
        answers={200: answer("The instance was unloaded.", examples.NATIVE_UNLOADED)},
        raises=(*OF_PROXIED, ValidationFailed, StudioFailed, Conflict, StateNotSaved, GatewayEnding),
    ),
)
