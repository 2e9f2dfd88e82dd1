"""The parameters that the gateway fills into requests that leave them out."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .common import RequestBody, about

# They are saved, published, and filled into requests.
StopStrings = Annotated[tuple[Annotated[str, Meta(max_length=1024)], ...], Meta(max_length=256)]


class DefaultInference(RequestBody, frozen=True, kw_only=True, omit_defaults=True):
    """Default parameters for requests that leave them out."""

    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None,
        about("How random the answer is. 0 takes the likeliest token each time; more is more varied."),
    ] = None
    max_tokens: Annotated[
        Annotated[int, Meta(gt=0)] | None,
        about("After how many tokens an answer is cut off. More can keep the GPU busy for longer."),
    ] = None
    top_p: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        about(
            "Choose each token among the likeliest ones that have this probability together. 1 is all of "
            "them; less is more predictable."
        ),
    ] = None
    top_k: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        about("Choose each token among so many of the likeliest ones. Fewer are more predictable; 0 is all."),
    ] = None
    repeat_penalty: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        about("How much tokens are avoided that the text already has. 1 is not at all."),
    ] = None
    stop_strings: Annotated[
        StopStrings | None, about("Texts that end the answer. It doesn't contain the one that ended it.")
    ] = None
    stream: Annotated[
        bool | None,
        about("Whether the answer is sent piece by piece. Clients that don't ask for it may not read it."),
    ] = None
