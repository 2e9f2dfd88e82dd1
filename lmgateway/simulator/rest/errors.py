"""The errors of the HTTP APIs, in the shape of each."""

from collections.abc import Mapping

from ..engine import faults
from ..engine.conversations import UnknownResponse
from ..engine.downloads import UnknownJob


class ApiError(Exception):
    """An error of an HTTP API. `kind` is OpenAI's `type`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code


_NOT_FOUND = "model_not_found"

_TRANSLATIONS: Mapping[type[faults.Fault], tuple[int, str | None, str | None]] = {
    faults.UnknownModel: (404, "model", _NOT_FOUND),
    faults.UnknownIdentifier: (404, "model", _NOT_FOUND),
    faults.AmbiguousModel: (404, "model", _NOT_FOUND),
    faults.InvalidModelIdentifier: (400, "model", _NOT_FOUND),
    faults.NoModelsLoaded: (400, "model", None),
    faults.JustInTimeLoadFailed: (400, "model", _NOT_FOUND),
    faults.ExplicitLoadFailed: (500, None, "model_load_failed"),
    UnknownJob: (404, None, "job_not_found"),
    UnknownResponse: (400, "previous_response_id", "previous_response_not_found"),
}
"""The status, OpenAI's `param` and its `code`."""

_ANTHROPIC_TYPES = {400: "invalid_request_error", 404: "not_found_error", 413: "request_too_large"}


def as_api_error(fault: faults.Fault) -> ApiError:
    status, param, code = _TRANSLATIONS.get(type(fault), (400, None, None))
    message = fault.title if fault.cause is None else f"{fault.title}: {fault.cause}"
    return ApiError(status, message, param=param, code=code)


def error_body(path: str, error: ApiError) -> dict[str, object]:
    """Anthropic's shape under `/v1/messages`, LM Studio's under `/api/v1`.

    Elsewhere OpenAI's object, on `/v1/responses` and for an error with a code; otherwise the text alone.
    """
    if error.status == 401:
        return {"error": {"type": error.kind, "code": error.code, "message": error.message}}
    if path.startswith("/v1/messages"):
        kind = _ANTHROPIC_TYPES.get(error.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": error.message}}
    if path.startswith("/api/v1/"):
        kind = error.code or ("invalid_request" if error.status < 500 else "internal_error")
        return {"error": {"type": kind, "message": error.message, "code": error.code}}
    if path.startswith("/v1/responses") or error.code is not None:
        return {
            "error": {
                "message": error.message,
                "type": error.kind if error.status < 500 else "internal_error",
                "param": error.param,
                "code": error.code,
            }
        }
    return {"error": error.message}


def event_body(path: str, error: ApiError) -> dict[str, object]:
    """Return the data of an `error` event. OpenAI's older endpoints have the text twice, and no type."""
    if path.startswith("/api/v1/"):
        return {"type": "error", **error_body(path, error)}
    if path.startswith(("/v1/messages", "/v1/responses")):
        return error_body(path, error)
    return {"error": {"message": error.message}, "message": error.message}
