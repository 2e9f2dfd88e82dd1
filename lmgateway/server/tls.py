"""The certificate that the gateway shows."""

from __future__ import annotations

import ssl
from pathlib import Path

from ..config import Server
from ..errors import ConfigError


def server_context(server: Server) -> ssl.SSLContext | None:
    """Return what to speak https by; None if it isn't configured. Raises ConfigError."""
    if not server.tls_cert and not server.tls_key:
        return None
    # Its own defaults are modern: TLS 1.2 and newer, forward secrecy, no compression, no renegotiation.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, server)
    return context


def load_certificate(context: ssl.SSLContext, server: Server) -> None:
    """Show this certificate to whoever connects from now on. Raises ConfigError, and then nothing changed."""
    if not server.tls_cert or not server.tls_key:
        raise ConfigError(["server.tls_cert, server.tls_key: set both, or none for plain http"])
    cert, key = server.tls_cert, server.tls_key
    for path, name in ((cert, "tls_cert"), (key, "tls_key")):
        try:
            Path(path).read_bytes()
        except OSError as exc:
            raise ConfigError([f"server.{name}: {path} can't be read: {exc.strerror}"]) from exc
    try:
        # Tried first on another one: a certificate without its key would leave this one with half of it. And
        # without a password OpenSSL would ask for that of an encrypted key at the terminal, and wait.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except ssl.SSLError as exc:
        raise ConfigError(
            [f"server.tls_cert, server.tls_key: no PEM certificate with its unencrypted key: {exc.reason}"]
        ) from exc
    context.load_cert_chain(cert, key)
