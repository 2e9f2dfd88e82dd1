"""`POST /v1/embeddings`."""

import base64
import sys
from array import array
from collections.abc import Sequence
from typing import Literal

import msgspec
from aiohttp import web

from ..keys import STUDIO
from .bodies import read_body
from .errors import ApiError
from .express import json_response


class EmbeddingsBody(msgspec.Struct, frozen=True, kw_only=True):
    """`ttl` is in seconds."""

    input: object
    model: str = ""
    ttl: float | None = None
    encoding_format: Literal["float", "base64"] | None = "float"

    def texts(self) -> list[str]:
        """Raises ApiError 400 for token ids, among others."""
        inputs = [self.input] if isinstance(self.input, str) else self.input
        if not isinstance(inputs, list) or not all(isinstance(one, str) for one in inputs):
            raise ApiError(400, "'input' field must be a string or an array of strings")
        return inputs


async def embeddings(request: web.Request) -> web.StreamResponse:
    return await answer_embeddings(request, "embeddings")


async def answer_embeddings(request: web.Request, api: str) -> web.StreamResponse:
    studio = request.app[STUDIO]
    body = await read_body(request, EmbeddingsBody)
    texts = body.texts()
    instance = await studio.instance_for(body.model, "embedding", body.ttl)
    vectors, tokens = await studio.embed(instance, texts, api)
    if not studio.switches.embedding_usage:
        tokens = 0
    encode = _base64 if body.encoding_format == "base64" else list[float]
    return json_response(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": encode(vector)}
                for index, vector in enumerate(vectors)
            ],
            "model": instance.identifier,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _base64(vector: Sequence[float]) -> str:
    """Encode as little-endian 32-bit floats, which the openai package requests by default."""
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()
