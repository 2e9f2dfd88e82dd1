"""Why a gateway can't be reached, or its answer not be read: a sentence for each failure of a connection."""

from __future__ import annotations

import os
import ssl

import aiohttp
from yarl import URL

from ..text import clean_name

CUT_SHORT = "The gateway or LM Studio ended the answer before it was complete."
_HOW_TO_CONNECT = "Start a gateway with `lmgateway serve`, or give its address with --url."
# Of X509_STORE_CTX_get_error(3).
_EXPIRED = 10
_OTHER_NAME = (62, 64)


def redirected(place: URL, response: aiohttp.ClientResponse) -> str:
    shown = clean_name(response.headers.get("Location", "")) or "nowhere"
    return f"{place} redirects to {shown}, which isn't followed. If the gateway is there, name it with --url."


def unreachable(place: URL, exc: aiohttp.ClientError) -> str:
    match exc:
        case aiohttp.ClientConnectorCertificateError():
            return f"The certificate of {place} isn't trusted: {_untrusted(exc.certificate_error)}"
        case aiohttp.ClientSSLError():
            return f"The server at {place} doesn't use TLS. Write http:// in --url."
        case aiohttp.ClientConnectorError():
            return f"Nothing answers at {place}: {_system_message(exc.os_error)}. {_HOW_TO_CONNECT}"
        case aiohttp.ConnectionTimeoutError():
            return f"Nothing answers at {place}. {_HOW_TO_CONNECT}"
        case aiohttp.ServerDisconnectedError():
            return f"{place} closed the connection. If it uses TLS, write https:// in --url."
        case aiohttp.ClientPayloadError():
            return CUT_SHORT
        case aiohttp.ClientOSError():
            return f"The connection to {place} was lost: {_system_message(exc)}."
    return f"The connection to {place} was lost."


def _untrusted(exc: Exception) -> str:
    """Return why OpenSSL doesn't trust a certificate, and what to do."""
    if not isinstance(exc, ssl.SSLCertVerificationError):
        return str(exc)
    reason = exc.verify_message
    if exc.verify_code == _EXPIRED:
        return f"{reason}. Renew it on the gateway's machine."
    if exc.verify_code in _OTHER_NAME:
        return f"{reason} Write a name that it has in --url, or give the certificate itself with --ca FILE."
    return (
        f"{reason}. If it is the gateway's own, copy the file server.tls_cert from the gateway's machine, "
        "and give it with --ca FILE."
    )


def _system_message(error: OSError) -> str:
    # asyncio's message would repeat the address.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
