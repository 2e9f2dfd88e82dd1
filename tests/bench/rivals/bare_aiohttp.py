"""The least that a proxy can do in aiohttp: no rule, no log, no look at what passes.

python -m tests.bench.rivals.bare_aiohttp PORT URL
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

SESSION = web.AppKey("session", aiohttp.ClientSession)
STUDIO = web.AppKey("studio", str)
_HOP_BY_HOP = ("Host", "Connection", "Keep-Alive", "Transfer-Encoding")


def _passed_on(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    for name in _HOP_BY_HOP:
        headers.popall(name, None)
    return headers


async def proxy(request: web.Request) -> web.StreamResponse:
    async with request.app[SESSION].request(
        request.method,
        URL(request.app[STUDIO] + request.raw_path, encoded=True),
        headers=_passed_on(request.headers.copy()),
        data=await request.read(),
        allow_redirects=False,
    ) as answer:
        response = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers.copy()))
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def _session(app: web.Application) -> AsyncIterator[None]:
    app[SESSION] = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    yield
    await app[SESSION].close()


def main(port: int, studio: str) -> None:
    app = web.Application(client_max_size=64 * 1024**2)
    app[STUDIO] = studio
    app.cleanup_ctx.append(_session)
    app.router.add_route("*", "/{path:.*}", proxy)
    web.run_app(
        app,
        host="127.0.0.1",
        port=port,
        backlog=4096,
        access_log=None,
        handler_cancellation=True,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
