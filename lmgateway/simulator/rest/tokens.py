"""Authentication of the HTTP APIs, when LM Studio requires an API token."""

import hmac

from aiohttp import web
from aiohttp.typedefs import Handler

from ..keys import STUDIO
from .errors import ApiError

_MISSING = (
    "An LM Studio API token is required to make requests to this server, but none was provided using the "
    "Authorization header using the 'Bearer' scheme (i.e., 'Authorization: Bearer $LM_API_TOKEN'). "
    "Learn more at: https://lmstudio.ai/docs/developer/core/authentication."
)

OPEN_PATHS = frozenset({"/lmstudio-greeting", "/simulator/ledger"})


@web.middleware
async def require_token(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The SDK's WebSockets aren't checked here: they authenticate with their first frame."""
    token = request.app[STUDIO].api_token
    is_socket = "namespace" in request.match_info
    if token and not is_socket and request.path not in OPEN_PATHS:
        _check(_given_token(request), token)
    return await handler(request)


def _given_token(request: web.Request) -> str:
    """Return the Bearer token; Anthropic's clients may send it as x-api-key."""
    if request.path.startswith("/v1/messages") and (key := request.headers.get("x-api-key")):
        return key
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _check(given: str, token: str) -> None:
    if not given:
        raise _refused(_MISSING)
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise _refused("Malformed or unknown LM Studio API token provided.")


def _refused(message: str) -> ApiError:
    return ApiError(401, message, kind="invalid_request", code="invalid_api_key")
