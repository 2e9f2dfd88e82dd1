"""The settings with which LM Studio loads a model."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from .common import ModelType, RequestBody, about

_GPU, _CACHE, _OTHER = "GPU", "Context and its cache", "Memory and speed"
_LLM: tuple[ModelType, ...] = ("llm",)


def _ignored(title: str) -> Meta:
    text = "Accepted, but LM Studio has no such setting; the response lists it in `ignored`."
    return about(text, title=title, group="Ignored by LM Studio", types=())


class Gpu(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    ratio: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | Literal["max", "off"] | None,
        about("The share of the model that is offloaded to the GPU.", title="GPU offload"),
    ] = None
    layers: Annotated[Annotated[int, Meta(ge=0)] | None, _ignored("GPU layers")] = None
    main_gpu: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        about("The index of the GPU that is used first.", title="Main GPU", group=_GPU),
    ] = None
    split_strategy: Annotated[
        Literal["evenly", "favorMainGpu"] | None,
        about("How the model is divided among several GPUs.", title="Split", group=_GPU),
    ] = None
    disabled_gpus: Annotated[
        tuple[Annotated[int, Meta(ge=0)], ...] | None,
        about("The indexes of the GPUs that aren't used.", title="Disabled GPUs", group=_GPU),
    ] = None


CacheQuantization = Literal["f32", "f16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"] | bool


class LoadConfig(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    """Load settings: those of the `lmstudio` SDK, two that it lacks, and two that LM Studio doesn't have."""

    context_length: Annotated[
        Annotated[int, Meta(gt=0)] | None,
        about("In tokens, of the prompt and the answer together.", title="Context length"),
    ] = None
    parallel: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        about(
            "How many predictions run at once; the next ones wait in LM Studio. Only for an llm.",
            title="Parallel predictions",
            types=_LLM,
        ),
    ] = None
    use_unified_kv_cache: Annotated[
        bool | None,
        about(
            "Whether parallel predictions share the context's memory. Only for an llm.",
            title="Unified KV cache",
            types=_LLM,
            group=_CACHE,
        ),
    ] = None
    gpu: Gpu | None = None
    flash_attention: Annotated[
        bool | None,
        about(
            "Computes attention faster, and with less memory, where that is supported.",
            title="Flash attention",
            types=_LLM,
        ),
    ] = None
    offload_kv_cache_to_gpu: Annotated[
        bool | None,
        about(
            "Whether the KV cache is in the GPU's memory. Otherwise it is in the machine's own.",
            title="KV cache on the GPU",
            types=_LLM,
            group=_CACHE,
        ),
    ] = field(name="offloadKVCacheToGpu", default=None)
    use_fp16_for_kv_cache: Annotated[
        bool | None,
        about(
            "Store the KV cache in half precision, which takes less memory.",
            title="KV cache in FP16",
            types=_LLM,
            group=_CACHE,
        ),
    ] = field(name="useFp16ForKVCache", default=None)
    llama_k_cache_quantization_type: Annotated[
        CacheQuantization | None,
        about(
            "How the cached keys are compressed to save memory; false: not at all.",
            title="K cache quantization",
            types=_LLM,
            group=_CACHE,
        ),
    ] = None
    llama_v_cache_quantization_type: Annotated[
        CacheQuantization | None,
        about(
            "How the cached values are compressed to save memory, with flash attention; false: not at all.",
            title="V cache quantization",
            types=_LLM,
            group=_CACHE,
        ),
    ] = None
    rope_frequency_base: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        about(
            "The base frequency of the rotary position embeddings.", title="RoPE base frequency", group=_CACHE
        ),
    ] = None
    rope_frequency_scale: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        about(
            "Scales those frequencies, for contexts that are longer than the trained one.",
            title="RoPE frequency scale",
            group=_CACHE,
        ),
    ] = None
    gpu_strict_vram_cap: Annotated[
        bool | None,
        about(
            "Use no memory that the GPU shares with the CPU.",
            title="Only dedicated VRAM",
            types=_LLM,
            group=_GPU,
        ),
    ] = None
    eval_batch_size: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        about(
            "How many tokens of a prompt are processed together. More are faster, and take more memory.",
            title="Batch size",
            types=_LLM,
            group=_OTHER,
        ),
    ] = None
    num_experts: Annotated[
        int | None,
        about("How many experts a mixture-of-experts model uses.", title="Experts", types=_LLM, group=_OTHER),
    ] = None
    keep_model_in_memory: Annotated[
        bool | None,
        about("Don't let the system swap the model out.", title="Keep in memory", group=_OTHER),
    ] = None
    try_mmap: Annotated[
        bool | None,
        about(
            "Read the file as memory if that is possible, which loads faster.",
            title="Memory-map the file",
            group=_OTHER,
        ),
    ] = None
    seed: Annotated[
        int | None,
        about("The seed of the random numbers, to repeat an answer.", title="Seed", types=_LLM, group=_OTHER),
    ] = None
    cpu_threads: Annotated[Annotated[int, Meta(gt=0)] | None, _ignored("CPU threads")] = None
