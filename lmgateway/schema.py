"""The JSON that the gateway itself speaks, on /admin, /health and in errors.

Names are camelCase on the wire. A `null` for an optional field of a request means that it is absent.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

ModelType = Literal["llm", "embedding"]
Name = Annotated[str, Meta(min_length=1)]


class Message(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the gateway answers."""


class RequestBody(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends; a misspelt field is an error and not lost in silence."""


class DefaultInference(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters for requests that don't bring their own."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Meta(gt=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    repeat_penalty: Annotated[float, Meta(ge=0)] | None = None
    stop_strings: tuple[str, ...] | None = None
    stream: bool | None = None


class ActivateRequest(RequestBody, frozen=True, kw_only=True):
    model_key: Name
    instance_id: Name | None = None
    default_inference: DefaultInference | None = None
    type: ModelType = "llm"


class ActiveModel(Message, frozen=True, kw_only=True):
    """The model that answers requests which name none."""

    model_key: str
    instance_id: str | None = None
    default_inference: DefaultInference = DefaultInference()

    @property
    def name(self) -> str:
        """What LM Studio is to be asked for."""
        return self.instance_id or self.model_key


class ActivateAnswer(Message, frozen=True, kw_only=True):
    status: Literal["activated"] = "activated"
    model_key: str
    instance_id: str | None
    default_inference: DefaultInference
    message: str


class Root(Message, frozen=True, kw_only=True):
    name: str
    dashboard: str
    docs: str


class Health(Message, frozen=True, kw_only=True):
    """The gateway lives. `uptime` is in seconds."""

    status: Literal["ok"] = "ok"
    timestamp: str
    uptime: float


class Reachability(Message, frozen=True, kw_only=True):
    """`latency_ms` is None if LM Studio didn't answer."""

    reachable: bool
    latency_ms: int | None
    base_url: str


class Readiness(Message, frozen=True, kw_only=True):
    status: Literal["ok", "unavailable"]
    lmstudio: Reachability
