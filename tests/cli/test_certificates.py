"""Commands to a gateway with a certificate that the system doesn't trust."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from tests.support.gateway import running_gateway
from tests.support.process import run_here

KEY = "the key"


class Secured(NamedTuple):
    """A gateway with https. `folder` has the certificate of its authority, and that of another gateway."""

    port: int
    folder: Path

    async def ask(self, host: str, *options: str) -> tuple[int, str]:
        access = ("--url", f"https://{host}:{self.port}", "--key", KEY)
        return await run_here("deactivate", *access, *options, cwd=self.folder)


def write(folder: Path, name: str, leaf: trustme.LeafCert) -> dict[str, object]:
    cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    cert.write_bytes(leaf.cert_chain_pems[0].bytes())
    key.write_bytes(leaf.private_key_pem.bytes())
    return {"tls_cert": str(cert), "tls_key": str(key)}


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    authority = trustme.CA()
    (tmp_path / "authority.pem").write_bytes(authority.cert_pem.bytes())
    write(tmp_path, "other", authority.issue_cert("127.0.0.1"))
    server = write(tmp_path, "own", authority.issue_cert("127.0.0.1", "gateway.home.arpa"))
    tables = {"server": {"state_dir": str(tmp_path / "state"), **server}, "auth": {"api_key": KEY}}
    async with running_gateway({**tables, "lmstudio": {"base_url": "http://127.0.0.1:9"}}) as gateway:
        yield Secured(gateway.port, tmp_path)


async def test_a_certificate_of_ones_own_is_named_with_ca(secured: Secured) -> None:
    """The message without it says so."""
    status, output = await secured.ask("127.0.0.1")
    assert (status, "isn't trusted" in output, "--ca FILE" in output) == (69, True, True)
    for file in ("own.pem", "authority.pem"):
        status, output = await secured.ask("127.0.0.1", "--ca", file)
        assert (status, output) == (0, "No model is active now: requests must name one.\n"), file


async def test_the_gateways_own_certificate_is_trusted_under_any_name(secured: Secured) -> None:
    """A self-signed one often has no name at all. One of an authority must have the host's."""
    assert (await secured.ask("localhost", "--ca", "own.pem"))[0] == 0
    status, output = await secured.ask("localhost", "--ca", "authority.pem")
    assert (status, "Write a name that it has in --url" in output) == (69, True)


async def test_another_certificate_of_the_same_authority_is_not_trusted(secured: Secured) -> None:
    """Only its own was named."""
    status, output = await secured.ask("127.0.0.1", "--ca", "other.pem")
    assert (status, "isn't trusted" in output) == (69, True)


async def test_an_expired_certificate_is_renewed(tmp_path: Path) -> None:
    """No option helps with that."""
    authority = trustme.CA()
    (tmp_path / "authority.pem").write_bytes(authority.cert_pem.bytes())
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    server = write(tmp_path, "own", authority.issue_cert("127.0.0.1", not_after=yesterday))
    tables = {"server": {"state_dir": str(tmp_path / "state"), **server}, "auth": {"api_key": KEY}}
    async with running_gateway({**tables, "lmstudio": {"base_url": "http://127.0.0.1:9"}}) as gateway:
        status, output = await Secured(gateway.port, tmp_path).ask("127.0.0.1", "--ca", "authority.pem")
    assert (status, "Renew it on the gateway's machine" in output, "--ca" in output) == (69, True, False)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file or directory"), ("no PEM", "it contains no PEM certificate")]
)
async def test_a_file_that_has_no_certificate(tmp_path: Path, content: str | None, reason: str) -> None:
    """A mistake in the option is told before the gateway is asked."""
    if content is not None:
        (tmp_path / "file.pem").write_text(content)
    status, output = await Secured(9, tmp_path).ask("127.0.0.1", "--ca", "file.pem")
    assert (status, output) == (64, f"lmgateway: --ca: file.pem can't be used: {reason}.\n")
