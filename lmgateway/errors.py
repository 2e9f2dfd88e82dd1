"""What can go wrong, each kind with its HTTP status, its type in the APIs' terms and a stable code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypedDict

RETRY_SOON = {"Retry-After": "1"}
# OpenAI's and Anthropic's libraries repeat a 5xx twice, unless this tells them not to.
DO_NOT_RETRY = {"x-should-retry": "false"}
INTERNAL_FAILURE = "The gateway failed."


class Mistake(TypedDict):
    """What is wrong with one field of a body; `path` is dotted, `loadConfig.gpu.ratio`."""

    path: str
    message: str


class NearNames(TypedDict):
    """What may have been meant, the likeliest first."""

    near: list[str]


Details = str | list[Mistake] | NearNames


class ConfigError(Exception):
    """The configuration can't be used; one sentence for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CannotListen(Exception):
    """The address can't be had; the message says which and why."""


class VitalTaskFailed(Exception):
    """A task died without which the limits aren't enforced; the process ends, to be started again."""


class GatewayError(Exception):
    """Something that the client is told, in one sentence that says what to do.

    `details` adds to the sentence where the API has room for it; `headers` go into the answer, and
    `header_names` says which of them every error of its kind has.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    code: ClassVar[str] = "internal_error"
    # What older clients compare with, where the sentence used to be one word.
    title: ClassVar[str | None] = None
    header_names: ClassVar[tuple[str, ...]] = ()
    closes_connection: ClassVar[bool] = False

    def __init__(
        self, message: str, *, details: Details | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.headers = headers or {}


class BadRequest(GatewayError):
    """The request can't be understood, or can't be passed on."""

    status, type, code = 400, "invalid_request_error", "bad_request"


class FaultyFraming(BadRequest):
    """Where the request ends isn't certain, so it is the connection's last one."""

    closes_connection = True


class ValidationFailed(BadRequest):
    """The body isn't what is asked for; `details` names every mistake and where it is."""

    code = "validation_failed"


class RequestCancelled(BadRequest):
    """An admin cancelled it. A 400, because client libraries ask again after a 409 or a 503."""

    code = "request_cancelled"


class Unauthorized(GatewayError):
    """The gateway's key is missing or wrong."""

    status, type, code, title = 401, "authentication_error", "invalid_api_key", "Unauthorized"
    header_names = ("WWW-Authenticate",)


class Forbidden(GatewayError):
    """This client, or a page of this origin, may not come in here."""

    status, type, code, title = 403, "permission_error", "forbidden", "Forbidden"


class NotFound(GatewayError):
    """There is nothing of that name."""

    status, type, code = 404, "not_found_error", "not_found"


class ModelNotFound(NotFound):
    """LM Studio knows no model, or has loaded none, of that name."""

    code = "model_not_found"


class MethodNotAllowed(GatewayError):
    """The path has other methods; `Allow` names them."""

    status, type, code = 405, "invalid_request_error", "method_not_allowed"
    header_names = ("Allow",)


class RequestTimeout(GatewayError):
    """The client took too long to send its request."""

    status, type, code = 408, "invalid_request_error", "request_timeout"


class Conflict(GatewayError):
    """It can't be done in the state that things are in."""

    status, type, code = 409, "invalid_request_error", "conflict"


class LoadCancelled(Conflict):
    """Somebody cancelled the load that this caller waited for."""

    code = "load_cancelled"


class ContentTooLarge(GatewayError):
    """The body is larger than the configuration allows."""

    status, type, code = 413, "invalid_request_error", "request_too_large"


class UriTooLong(GatewayError):
    """The request's target is longer than the configuration allows a head to be."""

    status, type, code = 414, "invalid_request_error", "uri_too_long"


class UnsupportedMediaType(GatewayError):
    """The body is in a media type or a content coding that can't be read here."""

    status, type, code = 415, "invalid_request_error", "unsupported_media_type"


class Misdirected(GatewayError):
    """While there is no key, a request must come by a name that can only be this gateway's."""

    status, type, code = 421, "invalid_request_error", "unknown_host_name"


class TooManyConnections(GatewayError):
    """The client's address has as many connections as it may have."""

    status, type, code = 429, "rate_limit_error", "too_many_connections"


class HeadTooLarge(GatewayError):
    """The request's head is larger than the configuration allows."""

    status, type, code = 431, "invalid_request_error", "head_too_large"


class StudioFailed(GatewayError):
    """LM Studio said no, in its own words."""

    code = "lm_studio_error"


class OutOfMemory(StudioFailed):
    """The machine has no room for the model."""

    code = "out_of_memory"


class StateNotSaved(GatewayError):
    """The change can't be saved for the next start, so it isn't made."""

    code = "state_not_saved"


class UpstreamBroke(GatewayError):
    """LM Studio's answer can't be understood, or broke off."""

    status, type, code = 502, "api_error", "upstream_broke"


class UpstreamUnavailable(GatewayError):
    """LM Studio can't be reached."""

    status, type, code = 503, "overloaded_error", "upstream_unavailable"


class UpstreamNotReached(UpstreamUnavailable):
    """No connection could be made, so LM Studio can't have begun."""


class Overloaded(GatewayError):
    """The gateway has as much to do as it is configured to take on; `Retry-After` says when to ask again."""

    status, type, code = 503, "overloaded_error", "overloaded"
    header_names = ("Retry-After",)


class GatewayEnding(Overloaded):
    """The gateway is being stopped, and didn't wait any longer."""

    code = "gateway_ending"


class LinkLost(UpstreamUnavailable):
    """The connection to LM Studio ended while it was needed."""

    code = "link_lost"


class UpstreamSilent(GatewayError):
    """LM Studio said nothing for as long as the configuration waits."""

    status, type, code = 504, "timeout_error", "upstream_timeout"


class LoopDetected(GatewayError):
    """`lmstudio.base_url` leads back to this gateway."""

    status, type, code = 508, "api_error", "loop_detected"
