"""Docker's HEALTHCHECK: exit status 0 if the gateway in this container responds with a status below 500.

The request goes to the configured address. A refusal counts as healthy, because the container's own address
needn't be on the allowlist, and /health may require the key.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys

from lmgateway import settings
from lmgateway.config import Server
from lmgateway.errors import ConfigError

SECONDS = 4
# The address to connect to if the gateway listens on every address.
OWN_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens here


def connect(server: Server) -> http.client.HTTPConnection:
    host = OWN_ADDRESSES.get(server.host, server.host)
    if not server.tls_cert:
        return http.client.HTTPConnection(host, server.port, timeout=SECONDS)
    # The certificate is for the host name that clients use, not for this address.
    context = ssl._create_unverified_context()  # noqa: S323 - no secret is sent
    return http.client.HTTPSConnection(host, server.port, timeout=SECONDS, context=context)


def main() -> int:
    try:
        connection = connect(settings.load(file=None, environ=os.environ).config.server)
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (ConfigError, OSError, http.client.HTTPException) as exc:
        print(f"no answer: {exc}")
        return 1
    print(f"/health answers {status}")
    return 0 if status < 500 else 1


if __name__ == "__main__":
    sys.exit(main())
