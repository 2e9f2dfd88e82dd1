"""One line for each request, when it has ended."""

from __future__ import annotations

import logging

from .exchange import Exchange

logger = logging.getLogger("lmgateway.access")


def write(exchange: Exchange) -> None:
    """Log who asked for what, how it ended and how long it took. Never a query, a header or a body."""
    if not logger.isEnabledFor(logging.INFO):
        return
    because = f" ({exchange.error.code})" if exchange.error else ""
    logger.info(
        "%s %s %s %d%s %d ms %s",
        exchange.client,
        exchange.method,
        exchange.path,
        exchange.status,
        because,
        exchange.total_ms,
        exchange.request_id,
        extra={"fields": lambda: _fields(exchange)},
    )


def _fields(exchange: Exchange) -> dict[str, object]:
    return {
        "client": exchange.client,
        "method": exchange.method,
        "path": exchange.path,
        "status": exchange.status,
        "error": exchange.error.code if exchange.error else None,
        "totalTimeMs": exchange.total_ms,
        "requestId": exchange.request_id,
    }
