"""The texts of a generation's records before LM Studio 0.4. They contain figures, never a prompt's text."""

from .prompt import Sampling

SERVER = "LM STUDIO SERVER"
"""The source of the server's own INFO records, where version 0.4 has the model's identifier."""

BEGIN_PROCESSING_PROMPT = "\nBeginProcessingPrompt"

_SAMPLERS = (
    "logits -> logit-bias -> penalties -> dry -> top-n-sigma -> top-k -> typical -> top-p -> min-p -> xtc "
    "-> temp-ext -> dist"
)


def sampling_params(sampling: Sampling) -> str:
    """Four lines; the later ones begin with a tab and, in the file, have no stamp of their own."""
    return (
        f"Sampling params:\trepeat_last_n = 64, repeat_penalty = {_or(sampling.repeat_penalty, 1.1)}, "
        f"frequency_penalty = {_or(sampling.frequency_penalty, 0)}, "
        f"presence_penalty = {_or(sampling.presence_penalty, 0)}\n"
        "\tdry_multiplier = 0.000, dry_base = 1.750, dry_allowed_length = 2, dry_penalty_last_n = 4096\n"
        f"\ttop_k = {40 if sampling.top_k is None else sampling.top_k}, top_p = {_or(sampling.top_p, 0.95)}, "
        f"min_p = {_or(sampling.min_p, 0.05)}, xtc_probability = 0.000, xtc_threshold = 0.100, "
        f"typical_p = 1.000, top_n_sigma = -1.000, temp = {_or(sampling.temperature, 0.8)}\n"
        "\tmirostat = 0, mirostat_lr = 0.100, mirostat_ent = 5.000"
    )


def generate(context_length: int, max_tokens: int | None, prompt_tokens: int) -> str:
    predicted = -1 if max_tokens is None else max_tokens
    return (
        f"Sampling: \n{_SAMPLERS} \n"
        f"Generate: n_ctx = {context_length}, n_batch = 512, "
        f"n_predict = {predicted}, n_keep = {prompt_tokens}"
    )


def cache_reuse(prompt_tokens: int) -> str:
    """The simulator has no prompt cache, so the whole prompt is to be decoded."""
    return (
        "Looking for non-prefix contiguous prompt sequences of size >= 256 that can be reused from KV cache\n"
        f"Cache reuse summary: 0/{prompt_tokens} of prompt (0%), 0 prefix, 0 non-prefix\n"
        f"Total prompt tokens: {prompt_tokens}\n"
        f"Prompt tokens to decode: {prompt_tokens}"
    )


def _or(value: float | None, default: float) -> str:
    return f"{default if value is None else value:.3f}"
