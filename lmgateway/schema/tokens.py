"""The JSON of counted tokens, in the shape of Anthropic's API."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from .common import about


class CountedTokens(Struct, frozen=True, kw_only=True):
    input_tokens: Annotated[int, about("The prompt's tokens. An image counts nothing.")]
