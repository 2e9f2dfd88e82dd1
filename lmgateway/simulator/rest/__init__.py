"""The HTTP APIs: OpenAI's, Anthropic's, and LM Studio's own two."""

from .express import KEEP_ALIVE_SECONDS, add_headers
from .rendering import render_faults
from .request_log import log_request
from .routes import add_routes
from .tokens import require_token

__all__ = [
    "KEEP_ALIVE_SECONDS",
    "add_headers",
    "add_routes",
    "log_request",
    "render_faults",
    "require_token",
]
