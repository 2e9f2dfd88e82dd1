"""TLS: the server's context and certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

from ..config import Server
from ..errors import ConfigError


def server_context(server: Server) -> ssl.SSLContext | None:
    """Return the context for https, None if no certificate is configured. Raises ConfigError."""
    if not server.tls_cert and not server.tls_key:
        return None
    # Python's defaults already exclude compression and renegotiation. The rest is forward secrecy with AEAD.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, server)
    return context


def load_certificate(context: ssl.SSLContext, server: Server) -> None:
    """Use the configured certificate for new connections. If it raises ConfigError, nothing has changed."""
    if not server.tls_cert or not server.tls_key:
        raise ConfigError(["server.tls_cert, server.tls_key: set both, or none for plain http"])
    cert, key = server.tls_cert, server.tls_key
    for path, name in ((cert, "tls_cert"), (key, "tls_key")):
        try:
            Path(path).read_bytes()
        except OSError as exc:
            raise ConfigError([f"server.{name}: {path} can't be read: {exc.strerror}"]) from exc
    try:
        # First on a throwaway context: a pair that doesn't match would leave this one half changed.
        # The empty password keeps OpenSSL from prompting for one at the terminal if the key is encrypted.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except ssl.SSLError as exc:
        raise ConfigError(
            [f"server.tls_cert, server.tls_key: no PEM certificate with its unencrypted key: {exc.reason}"]
        ) from exc
    context.load_cert_chain(cert, key)
