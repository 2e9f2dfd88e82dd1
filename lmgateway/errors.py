"""The gateway's exceptions. Each HTTP error has a status, a `type` of the APIs and a stable code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypedDict

RETRY_SOON = {"Retry-After": "1"}
RETRY_LATER = {"Retry-After": "5"}  # LM Studio may be starting
DO_NOT_RETRY = {"x-should-retry": "false"}  # OpenAI's and Anthropic's libraries retry a 5xx twice
REFUSED_REASON = "X-Refused-Reason"  # the code, for which Anthropic's shape has no room
INTERNAL_FAILURE = "The gateway failed."


class Mistake(TypedDict):
    """A mistake in one field of a body; `path` is dotted, as in `loadConfig.gpu.ratio`."""

    path: str
    message: str


class NearNames(TypedDict):
    """Names similar to the unknown one, the most similar first."""

    near: list[str]


Details = str | list[Mistake] | NearNames


class ConfigError(Exception):
    """The configuration is invalid; one sentence for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CannotListen(Exception):
    """The listening socket can't be opened; the message has the address and the reason.

    `errno` is the system's reason, None if it is another one.
    """

    def __init__(self, message: str, *, port: int = 0, errno: int | None = None) -> None:
        super().__init__(message)
        self.port = port
        self.errno = errno


class StateInUse(Exception):
    """Another gateway uses the state folder; the message names its process."""


class VitalTaskFailed(Exception):
    """A task that the gateway can't run without has failed; the process ends, and systemd restarts it."""


class GatewayError(Exception):
    """An error response; the message is a sentence for the client. `details` is for the gateway's own shape.

    Of the response's `headers`, those in `header_names` are sent with every error of this kind.
    """

    status: int = 500
    type: str = "api_error"
    code: str = "internal_error"
    title: ClassVar[str | None] = None  # earlier versions sent it in place of the message
    header_names: ClassVar[tuple[str, ...]] = ()
    closes_connection: ClassVar[bool] = False
    # Whether a stream whose head was sent gets it as an event, before the connection is closed.
    ends_stream_as_event: ClassVar[bool] = False

    def __init__(
        self, message: str, *, details: Details | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.headers = headers or {}


class BadRequest(GatewayError):
    """The request is malformed, or can't be forwarded."""

    status, type, code = 400, "invalid_request_error", "bad_request"


class ContextLengthExceeded(BadRequest):
    """The prompt doesn't fit the model's context. Shorten it, or load the model with a longer one."""

    code = "context_length_exceeded"
    ends_stream_as_event = True


class FaultyFraming(BadRequest):
    """The end of the request is ambiguous, so the connection is closed after the response."""

    closes_connection = True


class ValidationFailed(BadRequest):
    """The body doesn't match the schema; `details` lists every mistake with its path."""

    code = "validation_failed"


class RequestCancelled(BadRequest):
    """Somebody cancelled the request. It is a 400, so that client libraries don't retry it."""

    code = "request_cancelled"
    ends_stream_as_event = True


class Unauthorized(GatewayError):
    """The gateway's key is missing or wrong."""

    status, type, code, title = 401, "authentication_error", "invalid_api_key", "Unauthorized"
    header_names = ("WWW-Authenticate",)

    def __init__(self, sentence: str) -> None:
        details = f"{sentence[0].upper()}{sentence[1:]}"
        super().__init__(f"Unauthorized: {sentence}", details=details, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(GatewayError):
    """This client's address, key or web page isn't allowed to use this path."""

    status, type, code, title = 403, "permission_error", "forbidden", "Forbidden"


class ScopeMissing(Forbidden):
    """The caller's key lacks a scope that the request needs."""

    code = "scope_missing"


class ModelNotAllowed(Forbidden):
    """The caller's key may not use this model."""

    code, header_names = "model_not_allowed", (REFUSED_REASON,)


class NotFound(GatewayError):
    """Nothing with this path or name exists."""

    status, type, code = 404, "not_found_error", "not_found"


class EndpointNotFound(NotFound):
    """LM Studio doesn't have this path."""

    code = "endpoint_not_found"


class ModelNotFound(NotFound):
    """LM Studio has no model, or no loaded instance, of this name."""

    code = "model_not_found"


class PreviousResponseNotFound(NotFound):
    """The response that a request continues belongs to another key."""

    code = "previous_response_not_found"


class ModelNotLoaded(NotFound):
    """The model isn't in memory, or LM Studio's SDK can't be reached, so nothing can be counted."""

    code, header_names = "model_not_loaded", (REFUSED_REASON,)


class KeyNotFound(NotFound):
    """There is no named key of this name."""

    code = "key_not_found"


class BoxNotFound(NotFound):
    """There is no LM Studio of this name in the configuration."""

    code = "box_not_found"


class MethodNotAllowed(GatewayError):
    """The path doesn't support this method; `Allow` lists those that it does."""

    status, type, code = 405, "invalid_request_error", "method_not_allowed"
    header_names = ("Allow",)


class RequestTimeout(GatewayError):
    """The client took too long to send its request."""

    status, type, code = 408, "invalid_request_error", "request_timeout"


class Conflict(GatewayError):
    """The current state of the model, or the configuration of the box, doesn't allow the operation."""

    status, type, code = 409, "invalid_request_error", "conflict"


class LoadCancelled(Conflict):
    """The load that this request was waiting for was cancelled."""

    code = "load_cancelled"


class ContentTooLarge(GatewayError):
    """The body is larger than the configuration allows."""

    status, type, code = 413, "invalid_request_error", "request_too_large"


class UriTooLong(GatewayError):
    """The address of the request is longer than the configuration allows."""

    status, type, code = 414, "invalid_request_error", "uri_too_long"


class UnsupportedMediaType(GatewayError):
    """The gateway can't read a body of this `Content-Type` or `Content-Encoding`."""

    status, type, code = 415, "invalid_request_error", "unsupported_media_type"


class Misdirected(GatewayError):
    """No key is configured, and `Host` isn't a name of this gateway, so a web page may have sent it."""

    status, type, code = 421, "invalid_request_error", "unknown_host_name"


class TooManyConnections(GatewayError):
    """The client's address has reached the limit of connections."""

    status, type, code = 429, "rate_limit_error", "too_many_connections"


class RateLimitExceeded(GatewayError):
    """The caller's key has used up one of its limits; `Retry-After` says when there is room again."""

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"
    header_names = ("Retry-After", REFUSED_REASON)


class QueueFull(GatewayError):
    """The line is full: as many requests wait as the configuration allows."""

    status, type, code = 429, "rate_limit_error", "queue_full"
    header_names = ("Retry-After", REFUSED_REASON)


class KeyQueueFull(QueueFull):
    """As many requests of the caller's key wait in line as the configuration allows."""

    code = "key_queue_full"


class WaitExpired(QueueFull):
    """The request has waited in line as long as the configuration allows."""

    code = "wait_expired"


class HeadTooLarge(GatewayError):
    """The header fields of the request are larger than the configuration allows."""

    status, type, code = 431, "invalid_request_error", "head_too_large"


class StudioFailed(GatewayError):
    """LM Studio reported an error; the message is LM Studio's own."""

    code = "lm_studio_error"


class OutOfMemory(StudioFailed):
    """The machine has too little memory for the model."""

    code = "out_of_memory"


class StudioRefused(GatewayError):
    """LM Studio's own error response, in place of a stream whose head was sent before it."""

    code = "lm_studio_error"

    def __init__(self, message: str, *, status: int, type: str, code: str) -> None:  # noqa: A002
        super().__init__(message)
        self.status, self.type, self.code = status, type, code


class StateNotSaved(GatewayError):
    """The change can't be saved for the next start, so it isn't made."""

    code = "state_not_saved"


class UpstreamBroke(GatewayError):
    """LM Studio's response was malformed, or broke off."""

    status, type, code = 502, "api_error", "upstream_broke"


class UpstreamDropped(UpstreamBroke):
    """LM Studio closed the connection before it had sent a byte."""


class UpstreamUnavailable(GatewayError):
    """LM Studio can't be reached."""

    status, type, code = 503, "overloaded_error", "upstream_unavailable"
    header_names = ("Retry-After", REFUSED_REASON)

    def __init__(
        self, message: str, *, details: Details | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, details=details, headers={**RETRY_LATER, **(headers or {})})


class UpstreamNotReached(UpstreamUnavailable):
    """No connection to LM Studio could be made, so it can't have begun the request."""


class UpstreamWentDown(UpstreamUnavailable):
    """LM Studio stopped answering after it got the request, and before it began to answer it."""


class Overloaded(GatewayError):
    """The gateway has reached a configured limit; `Retry-After` says when to retry."""

    status, type, code = 503, "overloaded_error", "overloaded"
    header_names: ClassVar[tuple[str, ...]] = ("Retry-After", REFUSED_REASON)


class KeysUnreadable(Overloaded):
    """The stored keys can't be read, so only `auth.api_key` is accepted."""

    code = "keys_unreadable"


class GatewayEnding(Overloaded):
    """The gateway is stopping, and the request didn't end in time."""

    code = "gateway_ending"


class ModelBlocked(Overloaded):
    """There is no room for the model, and none in memory may be unloaded for it."""

    code = "model_blocked"


class BoxAsleep(Overloaded):
    """The machine with the model sleeps, and hasn't woken up in time."""

    code = "box_asleep"


class LoadFailed(Overloaded):
    """LM Studio couldn't load the model that the request needs; the message has LM Studio's words."""

    code = "load_failed"


class LinkLost(UpstreamUnavailable):
    """The connection to LM Studio was lost during a call."""

    code = "link_lost"


class UpstreamSilent(GatewayError):
    """LM Studio sent nothing within the configured timeout."""

    status, type, code = 504, "timeout_error", "upstream_timeout"


class LoopDetected(GatewayError):
    """`lmstudio.base_url` leads back to this gateway."""

    status, type, code = 508, "api_error", "loop_detected"
