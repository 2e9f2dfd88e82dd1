"""TLS: the server's context and certificate."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from ..config import Server
from ..errors import ConfigError

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY = re.compile(b"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----")
# PKCS #8, and the older formats (RFC 1421).
_ENCRYPTED = re.compile(b"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")


class ServerTls:
    """The owner of the listening sockets' context, and of the certificate for new connections.

    `listening` is None for plain http.
    """

    def __init__(self, server: Server) -> None:
        """Raises ConfigError."""
        self.listening = self._current = server_context(server)
        if self.listening is not None:
            # Called for each connection, before its certificate is chosen. A listening socket keeps its
            # context, and loading another certificate into that one could leave it with half of each.
            self.listening.sni_callback = self._choose_certificate

    def reloaded(self, server: Server) -> ssl.SSLContext | None:
        """Return the context with this configuration's certificate. Nothing has changed before `replace`.

        Raises ConfigError.
        """
        context = server_context(server)
        if (context is None) != (self.listening is None):
            raise ConfigError(["server.tls_cert: to change between http and https, restart the gateway"])
        return context

    def replace(self, context: ssl.SSLContext | None) -> None:
        """Use this context's certificate for new connections."""
        self._current = context

    def _choose_certificate(
        self, connection: ssl.SSLObject, _name: str | None, _listening: ssl.SSLContext
    ) -> None:
        if self._current is not None:
            connection.context = self._current


def server_context(server: Server) -> ssl.SSLContext | None:
    """Return the context for https, None if no certificate is configured. Raises ConfigError."""
    if not server.tls_cert and not server.tls_key:
        return None
    # Python's defaults already exclude compression and renegotiation. The rest is forward secrecy with AEAD.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, server)
    return context


def _load_certificate(context: ssl.SSLContext, server: Server) -> None:
    if not server.tls_cert or not server.tls_key:
        raise ConfigError(["server.tls_cert, server.tls_key: set both, or none for plain http"])
    cert, key = server.tls_cert, server.tls_key
    contents = []
    for path, name in ((cert, "tls_cert"), (key, "tls_key")):
        try:
            contents.append(Path(path).read_bytes())
        except OSError as exc:
            raise ConfigError([f"server.{name}: {path} can't be read: {exc.strerror}"]) from exc
    try:
        # The empty password keeps OpenSSL from prompting for one at the terminal if the key is encrypted.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as exc:
        why = _why_unusable(exc, cert, key, *contents)
        raise ConfigError(
            [f"server.tls_cert, server.tls_key: no PEM certificate with its unencrypted key: {why}"]
        ) from exc


def _why_unusable(exc: ssl.SSLError, cert: str, key: str, in_cert: bytes, in_key: bytes) -> str:
    """Return what is wrong with the files, and what to do. OpenSSL itself only reports a mismatch."""
    if exc.reason == "KEY_VALUES_MISMATCH":
        return (
            f"{key} isn't the key of the first certificate in {cert}. Set the key that this certificate was "
            "made with. In a file with a chain, the gateway's own certificate comes first."
        )
    if _CERTIFICATE not in in_cert:
        return f"{cert} contains no certificate that begins with {_CERTIFICATE.decode()}."
    if _ENCRYPTED.search(in_key):
        return f"{key} is encrypted. `openssl pkey -in {key} -out FILE` writes it without its password."
    if not _PRIVATE_KEY.search(in_key):
        return f"{key} contains no key that begins with -----BEGIN PRIVATE KEY-----."
    return exc.reason or "OpenSSL can't read them."
