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
CHANGES = "Web pages of other origins may not call it."
_OWN = "With `residency.enabled` off, the request is forwarded to LM Studio instead."
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
            "Like `/admin/models/load`, in LM Studio's format, but the model doesn't become the active "
            "one. If the same load is in progress, the request waits for it. If the model is in memory "
            f"already, the answer is its instance, or 409 if that has other settings. {_OWN} {CHANGES}"
        ),
        body=json_of(examples.NATIVE_LOAD),
        answers={
            200: answer(
                "The instance in memory. `X-Ignored` names settings that this type of model doesn't have.",
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
            "Like `/admin/models/unload`, in LM Studio's format. The instance gets no new requests, and is "
            "unloaded when those that run on it have ended. If that takes more than 30 s, the response is "
            f"409, and the instance stays. {_OWN} {CHANGES}"
        ),
        body=json_of(examples.NATIVE_UNLOAD),
        answers={200: answer("The identifier of the instance that was unloaded.", examples.NATIVE_UNLOADED)},
        raises=(*OF_PROXIED, ValidationFailed, StudioFailed, Conflict, StateNotSaved, GatewayEnding),
    ),
)
