"""An adapter for LM Studio's SDK, and the translation of its errors.

The only module that imports `lmstudio`. It uses private names that are unchanged since 1.5.0;
tests/boxes/test_sdk_library.py checks them for newer releases.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import lmstudio
import msgspec
from lmstudio import _kv_config, _ws_impl, async_api
from lmstudio._sdk_models import GpuSetting, KvConfigFieldDict
from lmstudio.json_api import LMStudioServerError, LoadModelEndpoint

from ... import untrusted
from ...errors import BadRequest, GatewayError, LinkLost, ModelNotFound, OutOfMemory, StudioFailed
from ...schema.common import ModelType
from ...text import SENTENCE_CHARACTERS
from ..inventory import NewInstance
from . import transport
from .memory_errors import means_out_of_memory

LOGGERS = (
    "AsyncChannel",
    "AsyncRemoteCall",
    "AsyncWebsocketHandler",
    "ChannelHandler",
    "LoadModelEndpoint",
    "RemoteCallHandler",
    "_AsyncLMStudioWebsocket",
    "httpx",
    "httpcore",
)
"""Loggers of the SDK and of its dependencies, for the set-up of logging."""

NOT_UNDERSTOOD = "LM Studio answered in a form that its SDK doesn't know."

_RAW_SETTINGS = {
    "parallel": "llm.load.numParallelSessions",
    "useUnifiedKvCache": "llm.load.useUnifiedKvCache",
}
"""LM Studio's keys of the load settings that the SDK lacks, by their names in a LoadConfig. Only LLMs have
them (lms-kv-config, schema.ts).
"""

_TOKEN = re.compile(r"sk-lm-(?P<identifier>[A-Za-z0-9]+):(?P<passkey>[A-Za-z0-9]+)\Z")
_NOT_FOUND = {"generic.pathNotFound", "generic.identifierNotFound", "generic.noModelMatchingQuery"} | {
    "generic.specificModelUnloaded"
}
_WRONG_DOMAIN = "generic.domainMismatch"

SdkError = lmstudio.LMStudioError
"""The exceptions that a call raises, for `translate`."""

_MALFORMED = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    *(RecursionError, msgspec.MsgspecError),
)
"""The exceptions of the SDK's code that parses a message without checking its types first."""

# For a refused token, 1.5.0 raises one of the last two, because it parses the reason as a mapping.
_REFUSALS = (LMStudioServerError, TypeError, ValueError)
# The exceptions of connecting: the SDK's own, and those of its dependencies, which it doesn't wrap.
CONNECT_ERRORS = (SdkError, httpx.HTTPError, OSError, TimeoutError, *_MALFORMED)


# The SDK has no parameter for an HTTP client.
setattr(_ws_impl, "aconnect_ws", transport.connect)  # noqa: B010 - it is no public name


class SdkClient(lmstudio.AsyncClient):
    """The SDK's client with three sockets instead of five, LM Studio's API token, and no proxy."""

    _ALL_SESSIONS = (
        async_api._AsyncSessionEmbedding,
        async_api._AsyncSessionLlm,
        async_api._AsyncSessionSystem,
    )

    def __init__(self, host: str, token: str) -> None:
        self._token = token
        super().__init__(host)

    def _create_auth_message(self, _token: str | None = None) -> Any:
        return auth_message(self._token)

    @staticmethod
    async def _query_probe_url(url: str) -> httpx.Response:
        return await transport.request(url)

    @staticmethod
    def _check_probe_response(response: httpx.Response) -> bool:
        try:
            return lmstudio.AsyncClient._check_probe_response(response)
        except _MALFORMED:
            return False


def auth_message(token: str) -> Mapping[str, object]:
    """Return the first message on a socket: the token's two halves, or a random identifier and passkey."""
    halves = _TOKEN.match(token)
    return lmstudio.AsyncClient._format_auth_message(*(halves.groups() if halves else ()))


class Parameter:
    """A call's parameter with the method that the SDK calls on it."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = dict(fields)

    def to_dict(self) -> dict[str, object]:
        return self._fields


class _LoadModel(LoadModelEndpoint[Any, Any]):
    """The SDK's load, which reports only a progress from 0 to 1."""

    def add_fields(self, fields: Mapping[str, object]) -> None:
        """Add load settings by LM Studio's own keys."""
        (layer,) = self._creation_params["loadConfigStack"]["layers"]
        more = [KvConfigFieldDict(key=key, value=value) for key, value in fields.items()]
        layer["config"]["fields"] = [*layer["config"]["fields"], *more]

    def iter_message_events(self, contents: Any) -> Iterable[Any]:
        match contents:
            case {"type": "progress", **others}:
                share = untrusted.fraction(others.get("progress"))
                if share is None:
                    return ()
                contents = {**contents, "progress": share}
        return super().iter_message_events(contents)

    def report_unknown_message(self, unknown_message: Any) -> None:
        """Skip it: the SDK would print it, and Python's warnings would keep a copy of each one."""


@asynccontextmanager
async def load_channel(
    client: SdkClient,
    kind: ModelType,
    model_key: str,
    identifier: str | None,
    ttl_seconds: int | None,
    config: Mapping[str, object],
    on_progress: Callable[[float], None],
) -> AsyncIterator[Any]:
    """Open a channel that loads a model. Loads by the SDK's own methods can't be cancelled."""
    session = getattr(client, kind)
    types = session._API_TYPES
    # In the gateway's API 0 means no limit; the SDK expects None for that.
    ttl = ttl_seconds or None
    endpoint = _LoadModel(
        model_key,
        identifier,
        ttl,
        types.REQUEST_NEW_INSTANCE,
        types.MODEL_LOAD_CONFIG,
        {name: value for name, value in config.items() if name not in _RAW_SETTINGS},
        on_progress,
    )
    endpoint.add_fields({key: config[name] for name, key in _RAW_SETTINGS.items() if name in config})
    async with session._create_channel(endpoint) as channel:
        yield channel


async def loaded_instance(channel: Any) -> NewInstance:
    """Wait for the end of a load, and return the instance; its identifier is "" if it has no proper one.

    Raises SdkError, and StudioFailed for a malformed message.
    """
    try:
        result = await channel.wait_for_result()
    except SdkError:
        raise
    except _MALFORMED as exc:
        raise StudioFailed(NOT_UNDERSTOOD) from exc
    reference = untrusted.text(result.instance_reference) or None
    return NewInstance(untrusted.text(result.identifier) or "", reference)


def split_config(config: Mapping[str, Any], kind: ModelType) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings that this kind of model has, and the dotted paths of the others.

    The SDK itself would drop the others silently.
    """
    known_type = lmstudio.LlmLoadModelConfig if kind == "llm" else lmstudio.EmbeddingLoadModelConfig
    names = {*known_type.__struct_encode_fields__, *(_RAW_SETTINGS if kind == "llm" else ())}
    known: dict[str, Any] = {}
    ignored: list[str] = []
    for name, value in config.items():
        if name not in names:
            ignored.append(f"loadConfig.{name}")
        elif name == "gpu":
            fields = GpuSetting.__struct_encode_fields__
            known["gpu"] = {key: part for key, part in value.items() if key in fields}
            ignored.extend(f"loadConfig.gpu.{key}" for key in value if key not in fields)
        else:
            known[name] = value
    return {name: value for name, value in known.items() if value != {}}, tuple(ignored)


def parse_load_config(config: object) -> dict[str, object]:
    """Return the result of getLoadConfig, with the field names of LoadConfig. Raises StudioFailed."""
    try:
        parsed = dict(_kv_config.parse_server_config(config))  # type: ignore[arg-type] # it may be anything
        fields = {field["key"]: field.get("value") for field in config.get("fields", ())}  # type: ignore[attr-defined]
    except _MALFORMED as exc:
        raise StudioFailed("LM Studio reported load settings in a form that the SDK doesn't know.") from exc
    parsed |= {name: fields[key] for name, key in _RAW_SETTINGS.items() if key in fields}
    return {name: untrusted.plain(value) for name, value in parsed.items()}


def is_refusal(exc: BaseException) -> bool:
    """True for a connection error with which LM Studio answered and refused the gateway."""
    return isinstance(exc, _REFUSALS)


def translate(exc: BaseException) -> GatewayError:
    """Translate an error of the SDK by LM Studio's error code; its titles are only for people."""
    if not isinstance(exc, LMStudioServerError):
        return LinkLost("The connection to LM Studio was lost. Retry; the gateway reconnects by itself.")
    error = exc.server_error
    if error is None:
        return StudioFailed("LM Studio failed without giving a reason; its own log may have it.")
    display = error.display_data if isinstance(error.display_data, dict) else {}
    code = untrusted.text(display.get("code"))
    parts = [
        untrusted.text(part, SENTENCE_CHARACTERS) or ""
        for part in (error.title, error.cause, error.suggestion)
    ]
    sentence = _sentence(parts)
    if code in _NOT_FOUND:
        return ModelNotFound(sentence)
    if code == _WRONG_DOMAIN:
        return BadRequest(sentence)
    if code is None and means_out_of_memory(parts[0], " ".join(parts[1:])):
        return OutOfMemory(sentence)
    return StudioFailed(sentence)


def _sentence(parts: Iterable[str]) -> str:
    """Return LM Studio's title, cause and suggestion on one line."""
    texts = [" ".join(part.split()) for part in parts if part.strip()]
    return " ".join(text if text[-1] in ".!?" else f"{text}." for text in texts) or "LM Studio failed."
