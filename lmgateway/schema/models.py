"""The JSON of /admin/models.

A `null` for an optional field of a request means that it is absent.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field, structs

from .common import Message, ModelKey, ModelType, Name, RequestBody, about

_NO_SETTING = about("LM Studio has no such setting; the answer names it in `ignored`.")


class DefaultInference(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters for requests that don't bring their own."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Meta(gt=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    repeat_penalty: Annotated[float, Meta(ge=0)] | None = None
    stop_strings: tuple[str, ...] | None = None
    stream: bool | None = None


class Gpu(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    ratio: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | Literal["max", "off"] | None,
        about("How much of the model goes to the GPU."),
    ] = None
    layers: Annotated[Annotated[int, Meta(ge=0)] | None, _NO_SETTING] = None
    main_gpu: Annotated[int, Meta(ge=0)] | None = None
    split_strategy: Literal["evenly", "favorMainGpu"] | None = None
    disabled_gpus: tuple[Annotated[int, Meta(ge=0)], ...] | None = None


CacheQuantization = Literal["f32", "f16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"] | bool


class LoadConfig(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    """How a model is loaded: every setting of the `lmstudio` SDK, and two of the older gateways'."""

    context_length: Annotated[Annotated[int, Meta(gt=0)] | None, about("In tokens.")] = None
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
        Name | None, about("What to call the instance; without it, LM Studio calls it by the model's key.")
    ] = None
    load_config: Annotated[
        LoadConfig | None,
        about("Without it, `load` of the configuration's `[models.KEY]` counts, if there is one."),
    ] = None
    ttl_seconds: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        about("Unload it after so long without a request. Without it, or with 0, it stays."),
    ] = None
    default_inference: DefaultInference | None = None
    activate: Annotated[bool | None, about("Whether it becomes the active model. Without it, it does.")] = (
        None
    )

    @property
    def activates(self) -> bool:
        return self.activate is not False


class LoadAnswer(Message, frozen=True, kw_only=True):
    status: Literal["loaded"] = "loaded"
    model_key: str
    instance_id: str | None
    identifier: Annotated[str, about("What LM Studio calls the instance.")]
    activated: bool
    total_time_ms: int
    load_config: Annotated[dict[str, object], about("What LM Studio says it applied.")]
    ignored: Annotated[tuple[str, ...], about("The paths of settings that LM Studio doesn't have.")]
    message: str


class InstanceRequest(RequestBody, frozen=True, kw_only=True):
    """Which instances are meant: exactly this one, or all of a model."""

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
    """A model on disk. `type` is LM Studio's word, also for kinds that nobody here has heard of."""

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
        """Where LM Studio loads it, and which requests it can answer."""
        return "embedding" if self.type == "embedding" else "llm"


class LoadedModel(DownloadedModel, frozen=True, kw_only=True):
    """A model in memory. `active`: it answers requests that name no model."""

    identifier: str
    context_length: int | None
    ttl_ms: int | None
    active: bool = False


class ModelList(Message, frozen=True, kw_only=True):
    loaded: tuple[LoadedModel, ...]
    downloaded: tuple[DownloadedModel, ...]


class ActivateRequest(RequestBody, frozen=True, kw_only=True):
    model_key: ModelKey
    instance_id: Name | None = None
    default_inference: DefaultInference | None = None
    type: Annotated[ModelType | None, about("Which kind of model it is; without it, LM Studio is asked.")] = (
        None
    )


class DeactivateRequest(RequestBody, frozen=True, kw_only=True):
    """Which active model to forget; without a type, both."""

    type: ModelType | None = None


class ActiveModel(Message, frozen=True, kw_only=True):
    """The model that answers requests which name none."""

    model_key: str
    instance_id: str | None = None
    default_inference: DefaultInference = DefaultInference()

    @property
    def name(self) -> str:
        """What LM Studio is to be asked for."""
        return self.instance_id or self.model_key


class ActiveModels(Message, frozen=True, kw_only=True):
    """What is active, as it is shown, and as it is remembered across restarts."""

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
