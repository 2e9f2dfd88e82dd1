"""Differences between versions, settings and machines of LM Studio; the defaults are those of version 0.4."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, get_type_hints

import msgspec

Overflow = Literal[
    "usual", "event", "refuse", "refuse_old", "server_error", "empty", "mid_generation", "mid_generation_mlx"
]
"""What happens to a prompt that is as long as its context or longer, and to an answer that fills the context.

usual: streams get an error event, other requests 400, and /v1/messages always 500; an answer continues in a
context that shifts, except where the engine can't do it. event: also streams of /v1/messages get the event.
refuse, refuse_old, server_error: 400, 400 with the older text, or 500, streamed or not. empty: an answer
without text. mid_generation, mid_generation_mlx: as usual, and all answers that fill the context fail.
"""


def _about(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class Switches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each one's description is shown by `lmgateway simulate --switch help`."""

    version: Annotated[str, _about("the version that the SDK reports")] = "0.4.0"
    jit: Annotated[bool, _about("load a model that a request names, if it isn't loaded")] = True
    auto_fit: Annotated[
        bool, _about("shrink a context that doesn't fit into the memory; false: its load fails")
    ] = True
    old_log: Annotated[bool, _about("write the server log's records of versions before 0.4")] = False
    log_sensitive: Annotated[bool, _about("write requests and answers to the server log")] = True
    overflow: Annotated[
        Overflow,
        _about(
            "what happens to a prompt that is longer than its context: usual, event, refuse, refuse_old, "
            "server_error or empty; with mid_generation or mid_generation_mlx an answer that fills it fails"
        ),
    ] = "usual"
    embedding_usage: Annotated[bool, _about("count the tokens of embeddings in `usage`")] = False
    auto_evict: Annotated[
        bool, _about("a just-in-time load unloads the other model loaded so, even while it generates")
    ] = True
    jit_race: Annotated[
        bool, _about("simultaneous requests for an unloaded model load an instance each; false: one for all")
    ] = True
    parallel: Annotated[
        int, _about("requests at once of an LLM, where its load doesn't set it"), msgspec.Meta(ge=1)
    ] = 4
    unified_kv_cache: Annotated[
        bool, _about("the requests of an LLM share its context, where its load doesn't set it")
    ] = True
    share_speed: Annotated[
        bool, _about("the requests of a model slow each other; false: each is as fast as one alone")
    ] = True
    prefill: Annotated[
        Literal["auto", "stop", "slow", "ignore"],
        _about("what a prompt does to its model's generations; auto: slow, or stop for a format not GGUF"),
    ] = "auto"
    memory_bytes: Annotated[
        int, _about("the memory for models, which take as much as on disk; 0: no limit"), msgspec.Meta(ge=0)
    ] = 0
    guardrail: Annotated[
        bool, _about("refuse a load that exceeds the memory; false: it fails half-way, as its engine says")
    ] = True
    memory_lag_seconds: Annotated[
        float, _about("how long an unloaded model's memory is still taken"), msgspec.Meta(ge=0)
    ] = 0.0
    unload_seconds: Annotated[
        float, _about("how long an unload takes; the model is listed until then"), msgspec.Meta(ge=0)
    ] = 0.0
    crash_on_two: Annotated[bool, _about("two requests at once crash an LLM, as some MLX models do")] = False


def parse(pairs: Iterable[str]) -> Switches:
    """Return the switches of `NAME=VALUE` texts. Raises ValueError with a sentence for the user."""
    fields = {}
    for pair in pairs:
        name, is_pair, value = pair.partition("=")
        if not is_pair or name not in Switches.__struct_fields__:
            known = ", ".join(Switches.__struct_fields__)
            raise ValueError(f"{pair} isn't NAME=VALUE with one of these names: {known}.")
        fields[name] = value
    try:
        return msgspec.convert(fields, Switches, strict=False)
    except msgspec.ValidationError as exc:
        raise ValueError(f"{exc}.") from exc


def descriptions() -> Mapping[str, str]:
    """Return each switch's description and default, by name."""
    hints = get_type_hints(Switches, include_extras=True)
    described = zip(Switches.__struct_fields__, Switches.__struct_defaults__, strict=True)
    return {
        name: f"{hints[name].__metadata__[0].description} ({msgspec.json.encode(default).decode()})"
        for name, default in described
    }
