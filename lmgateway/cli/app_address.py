"""The gateway's base URL for apps."""

from __future__ import annotations

import argparse
import tomllib

from msgspec.structs import replace

from ..config import Config
from . import machine
from .failures import RequestFailed
from .gateway_client import GatewayClient
from .options import read_settings
from .urls import lan_urls, own_url


async def app_url(options: argparse.Namespace, gateway: GatewayClient) -> str:
    """Return the gateway's URL for apps, which may be on other machines if it listens there."""
    if options.url is not None:
        return str(options.url).rstrip("/")
    config = await _as_it_listens(read_settings(options).config, gateway)
    return next(iter(lan_urls(config, machine.interfaces().lan)), own_url(config))


async def _as_it_listens(config: Config, gateway: GatewayClient) -> Config:
    """Return the configuration with the running gateway's server.host, which `serve --host` may have set."""
    try:
        report = await gateway.request("GET", "/admin/config")
    except RequestFailed:  # of an older version, or the first key is the only one that may ask
        return config
    hosts = [each["value"] for each in report["settings"] if each["path"] == "server.host"]
    host = tomllib.loads(f"host = {hosts[0]}")["host"] if hosts else config.server.host
    return replace(config, server=replace(config.server, host=host))
