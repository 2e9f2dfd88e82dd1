"""The settings with which LM Studio loads a model."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from .common import ModelType, RequestBody, about

_GPU, _CACHE, _OTHER = "GPU", "Context and its cache", "Memory and speed"
_LLM: tuple[ModelType, ...] = ("llm",)


def _ignored(title: str, instead: str) -> Meta:
    text = f"LM Studio has no such setting: it is accepted, and listed in the response's `ignored`. {instead}"
    return about(text, title=title, group="Ignored by LM Studio", types=())


class Gpu(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    ratio: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | Literal["max", "off"] | None,
        about(
            "How much of the model runs on the GPU: 0 or `off` is nothing, 1 or `max` everything. More is "
            "faster, and takes more of the GPU's memory. The CPU runs the rest.",
            title="GPU offload",
        ),
    ] = None
    layers: Annotated[Annotated[int, Meta(ge=0)] | None, _ignored("GPU layers", "Use `ratio` instead.")] = (
        None
    )
    main_gpu: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        about(
            "The number of the GPU that is filled first; the first GPU is 0. It counts only with the split "
            "`favorMainGpu`.",
            title="Main GPU",
            group=_GPU,
        ),
    ] = None
    split_strategy: Annotated[
        Literal["evenly", "favorMainGpu"] | None,
        about(
            "How the model is divided among several GPUs: `evenly`, or `favorMainGpu`, which fills the main "
            "GPU first.",
            title="Split",
            group=_GPU,
        ),
    ] = None
    disabled_gpus: Annotated[
        tuple[Annotated[int, Meta(ge=0)], ...] | None,
        about(
            "The numbers of the GPUs that the model doesn't use; the first GPU is 0.",
            title="Disabled GPUs",
            group=_GPU,
        ),
    ] = None


CacheQuantization = Literal["f32", "f16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"] | bool


class LoadConfig(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    """LM Studio's load settings. What is left out has LM Studio's default."""

    context_length: Annotated[
        Annotated[int, Meta(gt=0)] | None,
        about(
            "How many tokens the prompt and the answer have together at most. More allows longer "
            "conversations, and takes more memory. LM Studio may apply less, if the memory is short.",
            title="Context length",
        ),
    ] = None
    parallel: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        about(
            "How many requests the model answers at the same time; the next ones wait. LM Studio's default "
            "is 4. The more run, the slower each of them is, and the less of the context it has for itself.",
            title="Parallel predictions",
            types=_LLM,
        ),
    ] = None
    use_unified_kv_cache: Annotated[
        bool | None,
        about(
            "Whether parallel requests share one context, so that a long one may use what the others leave. "
            "Otherwise each has a fixed part of it. LM Studio's default is on.",
            title="Unified KV cache",
            types=_LLM,
            group=_CACHE,
        ),
    ] = None
    gpu: Annotated[
        Gpu | None, about("How the model is divided between the CPU and the GPU, and among several GPUs.")
    ] = None
    flash_attention: Annotated[
        bool | None,
        about(
            "A way of computing attention that is faster and takes less memory, above all with a long "
            "context. Not every GPU and model supports it.",
            title="Flash attention",
            types=_LLM,
        ),
    ] = None
    offload_kv_cache_to_gpu: Annotated[
        bool | None,
        about(
            "Whether the KV cache, in which the model keeps the conversation, is in the GPU's memory. Off "
            "saves that memory: it takes the machine's own instead, and answers are slower.",
            title="KV cache on the GPU",
            types=_LLM,
            group=_CACHE,
        ),
    ] = field(name="offloadKVCacheToGpu", default=None)
    use_fp16_for_kv_cache: Annotated[
        bool | None,
        about(
            "Store each number of the KV cache in 16 bits instead of 32. That halves its memory, and hardly "
            "changes the answers.",
            title="KV cache in FP16",
            types=_LLM,
            group=_CACHE,
        ),
    ] = field(name="useFp16ForKVCache", default=None)
    llama_k_cache_quantization_type: Annotated[
        CacheQuantization | None,
        about(
            "The number format of the keys in the KV cache. Fewer bits, as in `q8_0` or `q4_0`, take less "
            "memory, and answers may be worse. `false` doesn't compress them.",
            title="K cache quantization",
            types=_LLM,
            group=_CACHE,
        ),
    ] = None
    llama_v_cache_quantization_type: Annotated[
        CacheQuantization | None,
        about(
            "The number format of the values in the KV cache. Fewer bits take less memory, and answers may "
            "be worse. `false` doesn't compress them. It needs flash attention.",
            title="V cache quantization",
            types=_LLM,
            group=_CACHE,
        ),
    ] = None
    rope_frequency_base: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        about(
            "For experts: the base frequency with which the model encodes positions (RoPE). More may help "
            "in a context that is longer than the model was trained for. By default the model's own.",
            title="RoPE base frequency",
            group=_CACHE,
        ),
    ] = None
    rope_frequency_scale: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        about(
            "For experts: a factor of the positions (RoPE), with which a context may be longer than the "
            "model was trained for. Answers may be worse. By default the model's own.",
            title="RoPE frequency scale",
            group=_CACHE,
        ),
    ] = None
    gpu_strict_vram_cap: Annotated[
        bool | None,
        about(
            "Never put more of the model on the GPU than its own memory holds, even if `gpu.ratio` asks for "
            "more. The CPU runs the rest, which is slower.",
            title="Only dedicated VRAM",
            types=_LLM,
            group=_GPU,
        ),
    ] = None
    eval_batch_size: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        about(
            "How many tokens of a prompt are processed together. More read a long prompt faster, and take "
            "more memory.",
            title="Batch size",
            types=_LLM,
            group=_OTHER,
        ),
    ] = None
    num_experts: Annotated[
        int | None,
        about(
            "How many experts of a mixture-of-experts model work on each token. More are slower, and may "
            "answer better. Other models have none.",
            title="Experts",
            types=_LLM,
            group=_OTHER,
        ),
    ] = None
    keep_model_in_memory: Annotated[
        bool | None,
        about(
            "Keep the whole model in the machine's memory, so that the system never swaps it out. Answers "
            "don't wait for the disk; other programs have less memory.",
            title="Keep in memory",
            group=_OTHER,
        ),
    ] = None
    try_mmap: Annotated[
        bool | None,
        about(
            "Map the model's file into memory, if possible, instead of reading all of it first. It loads "
            "faster. Answers are slow if the model is larger than the machine's memory.",
            title="Memory-map the file",
            group=_OTHER,
        ),
    ] = None
    seed: Annotated[
        int | None,
        about(
            "The start of the random numbers. The same request with the same seed can have the same answer "
            "again. By default each answer differs. It takes no memory and no time.",
            title="Seed",
            types=_LLM,
            group=_OTHER,
        ),
    ] = None
    cpu_threads: Annotated[
        Annotated[int, Meta(gt=0)] | None,
        _ignored("CPU threads", "Set the threads in LM Studio's own settings."),
    ] = None
