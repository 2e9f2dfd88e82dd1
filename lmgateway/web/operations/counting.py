"""The operation of Anthropic's API that the gateway answers itself."""

from __future__ import annotations

from ...errors import ModelNotLoaded, RateLimitExceeded, RequestCancelled, StudioFailed
from ..count_tokens import PATH
from ..proxy import proxy
from . import studio_examples as examples
from .error_kinds import OF_BODIES
from .operation import Operation, answer, json_of

COUNT_TOKENS = Operation(
    "POST",
    PATH,
    proxy,
    scope="inference",
    styles=("anthropic",),
    tag="Anthropic's API",
    summary="Count a conversation's tokens",
    description=(
        "The model must be in memory: none is loaded for a count. LM Studio has no such path, so the "
        "gateway counts with the SDK; with `compat.mend` off the request is forwarded instead."
    ),
    body=json_of(examples.CONVERSATION),
    answers={200: answer("The number of tokens of the prompt.", examples.COUNT_ANSWER)},
    raises=(*OF_BODIES, RateLimitExceeded, RequestCancelled, ModelNotLoaded, StudioFailed),
)
