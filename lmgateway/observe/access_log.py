"""One line for each request, when it has ended."""

from __future__ import annotations

import logging

from .exchange import Exchange
from .log_sink import SinkHandler

logger = logging.getLogger("lmgateway.access")


class AccessLine:
    """What formats read of a log record, found out when one does."""

    __slots__ = ("_exchange",)

    name = logger.name
    levelname = "INFO"
    exc_info = None

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def created(self) -> float:
        return self._exchange.ended_at

    def getMessage(self) -> str:  # noqa: N802
        """Return who asked for what, how it ended and how long it took. Never a query, a header or a body."""
        exchange = self._exchange
        because = f" ({exchange.error.code})" if exchange.error else ""
        return (
            f"{exchange.client} {exchange.method} {exchange.path} {exchange.status}{because} "
            f"{exchange.total_ms} ms {exchange.request_id}"
        )

    def fields(self) -> dict[str, object]:
        """Return the same for machines."""
        exchange = self._exchange
        return {
            "client": exchange.client,
            "method": exchange.method,
            "path": exchange.path,
            "status": exchange.status,
            "error": exchange.error.code if exchange.error else None,
            "totalTimeMs": exchange.total_ms,
            "requestId": exchange.request_id,
        }


def write(exchange: Exchange) -> None:
    """Log a request that has ended."""
    if not logger.isEnabledFor(logging.INFO):
        return
    line = AccessLine(exchange)
    match logging.root.handlers:
        case [SinkHandler() as sink]:
            # Nobody else listens, and logging's own way to the sink costs as much as the rest of a line.
            sink.gather(line)
        case _:
            logger.info("%s", line.getMessage(), extra={"fields": line.fields})
