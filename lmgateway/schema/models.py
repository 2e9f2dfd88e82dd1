"""The JSON of /admin/models, but for the list.

In a request, `null` for an optional field means the same as leaving it out.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field, structs

from .common import Message, ModelKey, ModelType, Name, RequestBody, about

_NO_SETTING = about("Accepted, but LM Studio has no such setting; the response lists it in `ignored`.")


# They are saved, published, and filled into requests.
StopStrings = Annotated[tuple[Annotated[str, Meta(max_length=1024)], ...], Meta(max_length=256)]


class DefaultInference(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    """Default parameters for requests that leave them out."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Meta(gt=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    repeat_penalty: Annotated[float, Meta(ge=0)] | None = None
    stop_strings: StopStrings | None = None
    stream: bool | None = None


class Gpu(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    ratio: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | Literal["max", "off"] | None,
        about("The share of the model that is offloaded to the GPU."),
    ] = None
    layers: Annotated[Annotated[int, Meta(ge=0)] | None, _NO_SETTING] = None
    main_gpu: Annotated[int, Meta(ge=0)] | None = None
    split_strategy: Literal["evenly", "favorMainGpu"] | None = None
    disabled_gpus: tuple[Annotated[int, Meta(ge=0)], ...] | None = None


CacheQuantization = Literal["f32", "f16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"] | bool


class LoadConfig(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    """Load settings: those of the `lmstudio` SDK, two that it lacks, and two that LM Studio doesn't have."""

    context_length: Annotated[Annotated[int, Meta(gt=0)] | None, about("In tokens.")] = None
    parallel: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        about("How many predictions run at once; the next ones wait in LM Studio. Only for an llm."),
    ] = None
    use_unified_kv_cache: Annotated[
        bool | None, about("Whether parallel predictions share the context's memory. Only for an llm.")
    ] = None
    gpu: Gpu | None = None
    cpu_threads: Annotated[Annotated[int, Meta(gt=0)] | None, _NO_SETTING] = None
    rope_frequency_base: Annotated[float, Meta(gt=0)] | None = None
    rope_frequency_scale: Annotated[float, Meta(gt=0)] | None = None
    gpu_strict_vram_cap: bool | None = None
    offload_kv_cache_to_gpu: bool | None = field(name="offloadKVCacheToGpu", default=None)
    eval_batch_size: Annotated[int, Meta(ge=1)] | None = None
    flash_attention: bool | None = None
    keep_model_in_memory: bool | None = None
    seed: int | None = None
    use_fp16_for_kv_cache: bool | None = field(name="useFp16ForKVCache", default=None)
    try_mmap: bool | None = None
    num_experts: int | None = None
    llama_k_cache_quantization_type: CacheQuantization | None = None
    llama_v_cache_quantization_type: CacheQuantization | None = None


class LoadRequest(RequestBody, frozen=True, kw_only=True):
    model_key: ModelKey
    instance_id: Annotated[
        Name | None, about("The instance's identifier. By default LM Studio uses the model's key.")
    ] = None
    load_config: Annotated[
        LoadConfig | None,
        about("By default `load` of the configuration's table `[models.KEY]`, if there is one."),
    ] = None
    ttl_seconds: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        about("Unload the model after so long without a request. By default, and with 0, never."),
    ] = None
    another: Annotated[
        bool | None,
        about(
            "Whether to load one more instance of a model that has one. By default that one is the answer, "
            "unless an `instanceId` is given."
        ),
    ] = None
    default_inference: DefaultInference | None = None
    activate: Annotated[bool | None, about("Whether to make it the active model. By default true.")] = None

    @property
    def activates(self) -> bool:
        return self.activate is not False


class LoadAnswer(Message, frozen=True, kw_only=True):
    status: Literal["loaded"] = "loaded"
    model_key: str
    instance_id: str | None
    identifier: Annotated[str, about("The instance's identifier in LM Studio.")]
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
