"""The real nginx and the real Caddy, on a free port, with a configuration of the test's."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.waiting import ENDING_SECONDS, STARTING_SECONDS

# What Debian's /etc/nginx/nginx.conf has around the files of conf.d, for a process of the test's own.
_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    include {folder}/server.conf;
}}
"""
# No certificate authority of the Internet, no administration socket, no port 80.
_CADDY = """\
{
	admin off
	local_certs
	skip_install_trust
	auto_https disable_redirects
	default_bind 127.0.0.1
}
"""
CADDY_AUTHORITY = "caddy/pki/authorities/local/root.crt"


@asynccontextmanager
async def running_nginx(folder: Path, servers: str, port: int) -> AsyncIterator[None]:
    """Run nginx with these blocks, whose server listens on `port`."""
    nginx = _found("nginx", "nginx-light")
    (folder / "server.conf").write_text(servers)
    configuration = folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder))
    async with _running(nginx, "-p", str(folder), "-c", str(configuration), port=port):
        yield


@asynccontextmanager
async def running_caddy(folder: Path, site: str, name: str, port: int) -> AsyncIterator[Path]:
    """Run Caddy with this site, and yield the certificate of the authority that it makes for itself."""
    caddy = _found("caddy", "caddy")
    configuration = folder / "Caddyfile"
    configuration.write_text(_CADDY + site)
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    command = (caddy, "run", "--config", str(configuration), "--adapter", "caddyfile")
    async with _running(*command, port=port, environ=homes):
        await _until_it_has_a_certificate(port, name)
        yield folder / CADDY_AUTHORITY


def _found(name: str, package: str) -> str:
    path = shutil.which(name, path=f"/usr/sbin:/usr/bin:/usr/local/bin:{os.environ['PATH']}")
    if path is None and "CI" not in os.environ:
        pytest.skip(f"there is no {name} on this machine (Debian's package: {package})")
    assert path is not None, f"apt-get install {package}"
    return path


@asynccontextmanager
async def _running(*command: str, port: int, environ: Mapping[str, str] | None = None) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **(environ or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    # Read to the end, or a talkative process stops when the pipe is full.
    output = asyncio.create_task(process.stdout.read())
    try:
        await _until_it_listens(port, process, output)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(ENDING_SECONDS):
            await process.wait()
            await output


async def _until_it_listens(
    port: int, process: asyncio.subprocess.Process, output: asyncio.Task[bytes]
) -> None:
    async with asyncio.timeout(STARTING_SECONDS):
        while True:
            assert process.returncode is None, (await output).decode()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return


async def _until_it_has_a_certificate(port: int, name: str) -> None:
    """Caddy listens before that."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with asyncio.timeout(STARTING_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=context, server_hostname=name
                )
            except ssl.SSLError:
                await asyncio.sleep(0.02)
            else:
                writer.transport.abort()
                return
