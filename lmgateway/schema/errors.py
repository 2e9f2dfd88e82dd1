"""The JSON of errors, in the shape of each API."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from ..errors import Details
from .common import Message


class OwnError(Message, frozen=True, kw_only=True):
    """An error on the gateway's own paths: a sentence, and details of some kinds of error.

    `error` is one word for 401 and 403, "Unauthorized" and "Forbidden"; `details` is the sentence.
    """

    error: str
    details: Details | UnsetType = UNSET


class OpenAiErrorBody(Struct, frozen=True, kw_only=True):
    message: str
    type: str
    param: None = None
    code: str


class OpenAiError(Struct, frozen=True, kw_only=True):
    """An error in the shape of OpenAI's API."""

    error: OpenAiErrorBody


class AnthropicErrorBody(Struct, frozen=True, kw_only=True):
    type: str
    message: str


class AnthropicError(Struct, frozen=True, kw_only=True):
    """An error in the shape of Anthropic's API."""

    type: Literal["error"] = "error"
    error: AnthropicErrorBody
    request_id: str
