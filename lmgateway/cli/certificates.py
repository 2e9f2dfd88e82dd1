"""Which certificates a command trusts: the system's, or those in a file."""

from __future__ import annotations

import hashlib
import re
import ssl
from pathlib import Path

import aiohttp
from yarl import URL

from .failures import EX_UNAVAILABLE, EX_USAGE, RequestFailed

_SECONDS = 5.0
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

Trusted = ssl.SSLContext | aiohttp.Fingerprint


def own(certificate: str) -> ssl.SSLContext:
    """Return a context for this machine's gateway: it trusts only this file, whatever its host names.

    Raises RequestFailed if it can't be read.
    """
    try:
        context = ssl.create_default_context(cafile=certificate)
    except (OSError, ssl.SSLError) as exc:
        raise RequestFailed(f"server.tls_cert: {certificate} can't be read: {exc}", EX_UNAVAILABLE) from exc
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def named(file: Path, url: URL) -> Trusted:
    """Return what `--ca FILE` trusts: the server's own certificate, or one of an authority in the file.

    The own certificate counts also for a host that it doesn't name, as self-signed ones often name none. Of
    an authority's, which has others too, it must name the host. Raises RequestFailed if the file can't be
    read.
    """
    try:
        pems = _PEM.findall(file.read_text(encoding="ascii", errors="replace"))
        # Without any, it would be a context that trusts the system's.
        context = ssl.create_default_context(cadata="\n".join(pems)) if pems else None
    except OSError as exc:  # an SSLError is one
        raise RequestFailed(f"--ca: {file} can't be used: {exc.strerror}.", EX_USAGE) from exc
    if context is None:
        raise RequestFailed(f"--ca: {file} can't be used: it contains no PEM certificate.", EX_USAGE)
    pinned = {ssl.PEM_cert_to_DER_cert(pem) for pem in pems}
    shown = _shown_by(url)
    if shown in pinned:
        return aiohttp.Fingerprint(hashlib.sha256(shown).digest())
    return context


def _shown_by(url: URL) -> bytes:
    """Return the certificate that the server shows; nothing if it can't be asked, which the request tells."""
    try:
        pem = ssl.get_server_certificate((url.host or "", url.port or 443), timeout=_SECONDS)
    except OSError:
        return b""
    return ssl.PEM_cert_to_DER_cert(pem)
