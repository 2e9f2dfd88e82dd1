"""The HTTP APIs: OpenAI's, Anthropic's, and LM Studio's own two."""

from .errors import render_faults
from .request_log import log_request
from .routes import add_routes
from .tokens import require_token

__all__ = ["add_routes", "log_request", "render_faults", "require_token"]
