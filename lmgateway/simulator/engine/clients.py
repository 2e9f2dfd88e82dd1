"""The SDK's clients: which ones are connected, and what the server log says of them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from .faults import Fault
from .server_log import ServerLog

TOKEN = re.compile(r"sk-lm-(?P<identifier>[A-Za-z0-9]{8}):(?P<passkey>[A-Za-z0-9]{20})")
"""An API token, of which a client sends the two halves."""

CALLS = {
    "listLoaded": "Listing loaded models",
    "listDownloadedModels": "Listing downloaded models",
    "getModelInfo": "Getting model info",
    "getLoadConfig": "Getting load config",
    "loadModel": "Loading model",
    "getOrLoad": "Getting or loading model",
    "unloadModel": "Unloading model",
    "predict": "Predicting",
    "streamLogs": "Streaming logs",
}
"""The texts of the records of calls. Only the first one was seen in a log; the others are assumed."""


class InvalidPasskey(Exception):
    """Another client with this identifier is connected."""


class Client:
    """A client, which may have several sockets."""

    def __init__(self, identifier: str, passkey: str, log: ServerLog) -> None:
        self.passkey = passkey
        self.sockets = 0
        self._tag = f"[Client={identifier}]"
        self._log = log

    def log(self, text: str) -> None:
        self._log.write("DEBUG", f"{self._tag} {text}")

    def log_call(self, endpoint: str) -> None:
        self._log.write("DEBUG", f"{self._tag}[Endpoint={endpoint}] {CALLS.get(endpoint, 'Called')}")

    def log_fault(self, endpoint: str, kind: str, fault: Fault) -> None:
        """`kind` is `RPC` or `channel`."""
        error = f"Error in {kind} handler: Error: {fault.title}"
        self._log.write("ERROR", f"{self._tag}[Endpoint={endpoint}] {error}")


class Clients:
    """The connected clients by identifier. An identifier belongs to whoever is connected with it first."""

    def __init__(self, log: ServerLog) -> None:
        self._log = log
        self._connected: dict[str, Client] = {}

    @contextmanager
    def connected(self, identifier: str, passkey: str) -> Iterator[Client]:
        """Keep a socket's client connected. Raises InvalidPasskey."""
        client = self._connected.get(identifier)
        if client is None:
            client = self._connected[identifier] = Client(identifier, passkey, self._log)
            client.log("Client created.")
        elif client.passkey != passkey:
            raise InvalidPasskey(
                f'Failed to validate client: Invalid client passkey for client "{identifier}"'
            )
        client.sockets += 1
        try:
            yield client
        finally:
            client.sockets -= 1
            if client.sockets == 0:
                del self._connected[identifier]
                client.log("Client disconnected.")
