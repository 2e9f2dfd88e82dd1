"""HTTPS: certificates, versions and ciphers."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from lmgateway.config import FilePath, Server
from lmgateway.errors import ConfigError
from lmgateway.server.listening import listening
from lmgateway.server.sockets import bind
from lmgateway.server.tls import ServerTls, server_context
from tests.support.process import lmgateway, serving
from tests.support.upstream import Received, ScriptedUpstream, answer


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def show(authority: trustme.CA, folder: Path) -> dict[str, str]:
    """Issue a certificate for this machine, and return the settings that name it."""
    leaf = authority.issue_cert("127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return {"GATEWAY_TLS_CERT": str(cert), "GATEWAY_TLS_KEY": str(key)}


def lock(key: Path, locked: Path, form: PrivateFormat = PrivateFormat.PKCS8) -> None:
    """Encrypt a key."""
    loaded = load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(loaded.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"a passphrase")))


async def files_only(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upstream without the SDK's endpoints."""
    if request.target == "/v1/files":
        await answer(b"x" * 1_000_000, content_type="application/octet-stream")(request, reader, writer)
    else:
        writer.close()


def serial(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port))


async def test_https_streams_and_a_new_certificate_is_shown_after_sighup(
    tmp_path: Path, authority: trustme.CA, upstream: ScriptedUpstream
) -> None:
    """A client that trusts the CA is served, commands reach their gateway, and SIGHUP reloads the files."""
    environ = {"LMSTUDIO_BASE_URL": upstream.base_url, **show(authority, tmp_path)}
    environ["LMSTUDIO_CONNECT_ATTEMPTS"] = "1"
    upstream.script = files_only
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serving(tmp_path, **environ) as (gateway, port):
        assert "https://127.0.0.1" in "".join(gateway.output)
        async with aiohttp.ClientSession() as client:
            url = f"https://127.0.0.1:{port}/v1/files"
            async with client.get(url, ssl=trusting) as response:
                assert await response.read() == b"x" * 1_000_000
        async with lmgateway("models", cwd=tmp_path, GATEWAY_PORT=str(port), **environ) as models:
            _, output = await models.ends()
            assert "LM Studio" in output  # which isn't one, but the gateway was reached
            assert "certificate" not in output.lower()
        before = serial(port)
        show(authority, tmp_path)
        gateway.send(signal.SIGHUP)
        await gateway.says("the configuration is reloaded")
        assert serial(port) != before
        renewed = serial(port)
        Path(environ["GATEWAY_TLS_KEY"]).write_text("no key")
        gateway.send(signal.SIGHUP)
        assert "server.tls_cert, server.tls_key: " in await gateway.says("the configuration is unchanged")
        assert serial(port) == renewed


@pytest.mark.parametrize("old", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_and_weak_ciphers_are_not_spoken(
    tmp_path: Path, authority: trustme.CA, old: ssl.TLSVersion
) -> None:
    settings = show(authority, tmp_path)
    server = Server(tls_cert=settings["GATEWAY_TLS_CERT"], tls_key=settings["GATEWAY_TLS_KEY"])
    context = server_context(server)
    assert context is not None
    assert context.minimum_version > old
    for cipher in context.get_ciphers():
        assert cipher["aead"], cipher["name"]
        assert cipher["protocol"] == "TLSv1.3" or cipher["name"].startswith("ECDHE-")


@pytest.mark.parametrize(
    ("cert", "key", "expected"),
    [
        ("cert.pem", "", "set both"),
        ("", "key.pem", "set both"),
        ("missing.pem", "key.pem", "missing.pem can't be read: No such file or directory"),
        ("cert.pem", "other.pem", "other.pem isn't the key of the first certificate in .*cert.pem. Set"),
        ("reversed.pem", "key.pem", "the gateway's own certificate comes first"),
        ("garbage.pem", "key.pem", "garbage.pem contains no certificate"),
        ("key.pem", "key.pem", "key.pem contains no certificate"),
        ("cert.pem", "garbage.pem", "garbage.pem contains no key"),
        ("cert.pem", "cert.pem", "cert.pem contains no key"),
        ("cert.pem", "locked.pem", "locked.pem is encrypted. `openssl pkey -in "),
        ("cert.pem", "locked-before.pem", "locked-before.pem is encrypted"),
    ],
)
def test_a_certificate_that_cant_be_used_stops_the_start(
    tmp_path: Path, authority: trustme.CA, cert: str, key: str, expected: str
) -> None:
    """With the file at fault, and what to do."""
    show(authority, tmp_path)
    (tmp_path / "garbage.pem").write_bytes(os.urandom(100))
    leaf = (tmp_path / "cert.pem").read_bytes()
    (tmp_path / "reversed.pem").write_bytes(authority.cert_pem.bytes() + leaf)
    lock(tmp_path / "key.pem", tmp_path / "locked.pem")
    lock(tmp_path / "key.pem", tmp_path / "locked-before.pem", PrivateFormat.TraditionalOpenSSL)
    (tmp_path / "other.pem").write_bytes(authority.issue_cert("other").private_key_pem.bytes())
    server = Server(tls_cert=cert and str(tmp_path / cert), tls_key=key and str(tmp_path / key))
    with pytest.raises(ConfigError, match=expected):
        server_context(server)


async def test_a_new_certificate_is_shown_only_when_it_is_put_in_force(
    tmp_path: Path, authority: trustme.CA
) -> None:
    """So a reload that fails for another reason changes no certificate."""

    def settings() -> Server:
        shown = show(authority, tmp_path)
        return Server(
            tls_cert=FilePath(shown["GATEWAY_TLS_CERT"]), tls_key=FilePath(shown["GATEWAY_TLS_KEY"])
        )

    tls = ServerTls(settings())
    async with listening(web.Application(), bind("127.0.0.1", 0), tls=tls.listening) as port:
        before = await asyncio.to_thread(serial, port)
        renewed = tls.reloaded(settings())
        assert await asyncio.to_thread(serial, port) == before
        tls.replace(renewed)
        shown = [await asyncio.to_thread(serial, port) for _ in range(2)]
        assert shown[0] != before
        assert shown[0] == shown[1]
    with pytest.raises(ConfigError, match="restart the gateway"):
        tls.reloaded(Server())
