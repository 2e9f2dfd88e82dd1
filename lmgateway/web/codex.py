"""A refusal in the form in which Codex shows it to its user."""

from __future__ import annotations

from ..errors import DO_NOT_RETRY, GatewayError, RateLimitExceeded

# Codex prints it in "You've hit your usage limit. {}, or try again later."
_SHOWN = "x-codex-promo-message"


def for_codex(error: GatewayError) -> GatewayError:
    """Return what Codex reports at once in place of a 429 that isn't to be retried; else the same error.

    Codex ignores x-should-retry. At a 429 of another type it waits for Retry-After, which may be hours, and
    shows no reason meanwhile.
    """
    if not isinstance(error, RateLimitExceeded) or not error.headers.items() >= DO_NOT_RETRY.items():
        return error
    refusal = RateLimitExceeded(
        error.message, headers={**error.headers, _SHOWN: error.message.removesuffix(".")}
    )
    refusal.type = "usage_limit_reached"
    return refusal
