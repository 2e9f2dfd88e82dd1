"""`lmgateway demo`: what it shows of itself."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from lmgateway.cli.demo import DEMO_KEY
from tests.support.process import lmgateway


async def test_the_settings_in_force_are_where_it_listens(tmp_path: Path) -> None:
    """The dashboard's System view shows them: the demo isn't open to the network."""
    async with lmgateway("demo", "--port", "0", cwd=tmp_path) as demo:
        port = await demo.port()
        async with (
            aiohttp.ClientSession(headers={"X-API-Key": DEMO_KEY}) as client,
            client.get(f"http://127.0.0.1:{port}/admin/config") as response,
        ):
            settings = (await response.json())["settings"]
    shown = {setting["path"]: setting["value"] for setting in settings}
    assert shown["server.host"] == '"127.0.0.1"'
