"""The access log: one line for each HTTP request, when it has ended."""

from __future__ import annotations

import logging

from msgspec import Struct

from .log_sink import SinkHandler

logger = logging.getLogger("lmgateway.access")


class AccessLine(Struct, frozen=True, kw_only=True, gc=False):
    """An HTTP request that has ended, as a log record whose text is formatted only when it is written.

    All of its texts are printable: clients choose the method, the path and the id, which are cleaned before.
    `status` is the one sent to the client, `error_code` that of the gateway's own error. `created` is when
    the request ended, in Unix seconds. `box` is the one that it went to, "" if there is only one.
    """

    client: str
    key: str
    method: str
    path: str
    status: int
    error_code: str | None
    total_ms: int
    request_id: str
    created: float
    box: str = ""

    name = logger.name
    levelname = "INFO"
    exc_info = None

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        """Return the caller, the request, how it ended and how long it took; no query, header or body."""
        error = f" ({self.error_code})" if self.error_code else ""
        return (
            f"{self.client} {self.key} {self.method} {self.path} {self.status}{error} "
            f"{self.total_ms} ms {self.request_id}{f' {self.box}' if self.box else ''}"
        )

    def fields(self) -> dict[str, object]:
        """Return the same as fields for the JSON format."""
        return {
            **({"box": self.box} if self.box else {}),
            "client": self.client,
            "key": self.key,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "error": self.error_code,
            "totalTimeMs": self.total_ms,
            "requestId": self.request_id,
        }


def write(line: AccessLine) -> None:
    if not logger.isEnabledFor(logging.INFO):
        return
    match logging.root.handlers:
        case [SinkHandler() as sink]:
            # If it is the only handler, skip logging's own dispatch, which costs as much as the rest.
            sink.gather(line)
        case _:
            logger.info("%s", line.getMessage(), extra={"fields": line.fields})
