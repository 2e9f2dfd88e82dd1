"""Errors of the HTTP APIs: the status, and the shape of each API."""

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from ..engine import faults
from ..engine.downloads import UnknownJob
from .express import json_response


class ApiError(Exception):
    """An error before the generation. `kind` is OpenAI's `type`."""

    def __init__(
        self, status: int, message: str, *, kind: str = "invalid_request_error", code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code


_NOT_FOUND = "model_not_found"

_TRANSLATIONS: Mapping[type[faults.Fault], tuple[int, str | None]] = {
    faults.UnknownModel: (404, _NOT_FOUND),
    faults.UnknownIdentifier: (404, _NOT_FOUND),
    faults.AmbiguousModel: (404, _NOT_FOUND),
    faults.NoModelsLoaded: (404, _NOT_FOUND),
    faults.LoadFailed: (500, "model_load_failed"),
    UnknownJob: (404, "job_not_found"),
}

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
}


def as_api_error(fault: faults.Fault) -> ApiError:
    status, code = _TRANSLATIONS.get(type(fault), (400, None))
    message = fault.title if fault.cause is None else f"{fault.title}: {fault.cause}"
    return ApiError(status, message, code=code)


def error_body(path: str, error: ApiError) -> dict[str, object]:
    """Anthropic's shape under `/v1/messages`, LM Studio's under `/api/v1`, OpenAI's everywhere else."""
    if path.startswith("/v1/messages"):
        kind = _ANTHROPIC_TYPES.get(error.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": error.message}}
    if path.startswith("/api/v1/"):
        kind = error.code or ("invalid_request" if error.status < 500 else "internal_error")
        return {"error": {"type": kind, "message": error.message, "code": error.code}}
    return {"error": {"message": error.message, "type": error.kind, "param": None, "code": error.code}}


@web.middleware
async def render_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except faults.Fault as fault:
        error = as_api_error(fault)
    except ApiError as refused:
        error = refused
    except web.HTTPRequestEntityTooLarge as too_large:
        error = ApiError(413, too_large.text or too_large.reason)
    return json_response(error_body(request.path, error), error.status)
