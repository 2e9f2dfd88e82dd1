"""The JSON of /admin/models, but for the list.

In a request, `null` for an optional field means the same as leaving it out.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, structs

from .common import Message, ModelKey, ModelType, Name, RequestBody, about
from .default_inference import DefaultInference as DefaultInference
from .load_settings import Gpu as Gpu
from .load_settings import LoadConfig as LoadConfig

_INSTANCE = "Instance"


class LoadRequest(RequestBody, frozen=True, kw_only=True):
    model_key: ModelKey
    instance_id: Annotated[
        Name | None,
        about(
            "A name of your own for the instance in memory. By default the model's key.",
            title="Name of the instance",
            group=_INSTANCE,
        ),
    ] = None
    load_config: Annotated[
        LoadConfig | None,
        about(
            "How LM Studio loads the model. By default as `load` of the table `[models.KEY]` in config.toml "
            "says, if there is one."
        ),
    ] = None
    ttl_seconds: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        about(
            "Unload the model when it has had no request for so many seconds. By default, and with 0, never.",
            title="Unload when idle for, in seconds",
            group=_INSTANCE,
        ),
    ] = None
    box: Annotated[
        Name | None,
        about(
            "The name of the LM Studio that loads it. By default one that has the model and room for it.",
            title="LM Studio",
            group=_INSTANCE,
        ),
    ] = None
    another: Annotated[
        bool | None,
        about(
            "Whether to load the model once more if it is in memory already, which takes as much memory "
            "again. By default the answer is the instance that is there, unless an `instanceId` is given.",
            title="Load another instance",
        ),
    ] = None
    default_inference: Annotated[
        DefaultInference | None,
        about(
            "Parameters for requests that leave them out, while this is the active model.",
            group="Default parameters of requests",
        ),
    ] = None
    activate: Annotated[
        bool | None,
        about(
            "Whether it becomes the active model, which answers requests that name none. By default true.",
            title="Make it the active model",
        ),
    ] = None

    @property
    def activates(self) -> bool:
        return self.activate is not False


class LoadAnswer(Message, frozen=True, kw_only=True):
    status: Literal["loaded"] = "loaded"
    model_key: str
    instance_id: str | None
    identifier: Annotated[str, about("The instance's identifier in LM Studio.")]
    box: str
    activated: bool
    total_time_ms: int
    load_config: Annotated[dict[str, object], about("The settings that LM Studio applied.")]
    ignored: Annotated[tuple[str, ...], about("The paths of the settings that LM Studio doesn't have.")]
    warnings: Annotated[
        tuple[str, ...],
        about(
            "A sentence for each setting that LM Studio applied with another value. `message` has them too."
        ),
    ]
    message: str


class InstanceRequest(RequestBody, frozen=True, kw_only=True):
    """One instance, or without `instance_id` all instances of a model."""

    model_key: ModelKey
    instance_id: Name | None = None
    box: Annotated[Name | None, about("Only on the LM Studio of this name. By default on all.")] = None


class UnloadRequest(InstanceRequest, frozen=True, kw_only=True):
    drain_seconds: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        about(
            "How long to wait for the requests that run on it to end; it gets no new ones meanwhile. By "
            "default 30.",
            title="Wait for running requests, in seconds",
        ),
    ] = None
    force: Annotated[
        bool | None,
        about("Whether to unload it at once: the requests that run on it end with an error.", title="Force"),
    ] = None


class UnloadAnswer(Message, frozen=True, kw_only=True):
    status: Literal["unloaded", "not_found"]
    model_key: str
    instance_id: str | None
    total_time_ms: int | UnsetType = UNSET
    message: str
    error: str | UnsetType = UNSET


class CancelAnswer(Message, frozen=True, kw_only=True):
    status: Literal["cancelled"] = "cancelled"
    model_key: str
    instance_id: str | None
    message: str


class DownloadedModel(Message, frozen=True, kw_only=True):
    """A model on disk. `type` is LM Studio's own; other values than `llm` and `embedding` are possible."""

    model_key: str
    path: str
    type: str
    display_name: str
    size: Annotated[int | None, about("In bytes.")]
    publisher: str | None
    format: str | None
    architecture: str | None
    params_string: str | None
    quantization: str | None
    vision: bool | None
    trained_for_tool_use: bool | None
    max_context_length: int | None

    @property
    def kind(self) -> ModelType:
        """The SDK's namespace that loads it, and the kind of requests that it answers."""
        return "embedding" if self.type == "embedding" else "llm"


class LoadedModel(DownloadedModel, frozen=True, kw_only=True):
    """A model in memory. `active` is true if it answers requests without a `model`."""

    identifier: str
    context_length: int | None
    ttl_ms: int | None
    active: bool = False


class ActivateRequest(RequestBody, frozen=True, kw_only=True):
    model_key: ModelKey
    instance_id: Name | None = None
    default_inference: DefaultInference | None = None
    type: Annotated[ModelType | None, about("The kind of model. By default LM Studio is asked.")] = None
    force: Annotated[
        bool | None, about("Whether to activate it even if LM Studio has no model of this name.")
    ] = None


class DeactivateRequest(RequestBody, frozen=True, kw_only=True):
    """The kind of active model to clear; by default both kinds."""

    type: ModelType | None = None


class ActiveModel(Message, frozen=True, kw_only=True):
    """The model that answers requests without a `model`."""

    model_key: str
    instance_id: str | None = None
    default_inference: DefaultInference = DefaultInference()

    @property
    def name(self) -> str:
        """The model name to send to LM Studio."""
        return self.instance_id or self.model_key


class ActiveModels(Message, frozen=True, kw_only=True):
    """The active model of each kind."""

    active_model: ActiveModel | None = None
    active_embedding_model: ActiveModel | None = None

    def of(self, kind: ModelType) -> ActiveModel | None:
        return self.active_model if kind == "llm" else self.active_embedding_model

    def replacing(self, kind: ModelType, active: ActiveModel | None) -> ActiveModels:
        """Return these with another active model of one kind."""
        name = "active_model" if kind == "llm" else "active_embedding_model"
        return structs.replace(self, **{name: active})


class ActivateAnswer(Message, frozen=True, kw_only=True):
    status: Literal["activated"] = "activated"
    model_key: str
    instance_id: str | None
    default_inference: DefaultInference
    message: str
