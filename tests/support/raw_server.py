"""A server on a raw socket that closes its connections when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

ServeConnection = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(
    serve_connection: ServeConnection, *, port: int = 0, limit: int = 64 * 1024
) -> AsyncIterator[int]:
    """Yield the port. `limit` is a line's maximum length."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        # asyncio.start_server logs a cancelled connection as an error, and these are cancelled.
        with suppress(asyncio.CancelledError):
            await serve_connection(reader, writer)

    # With a full accept queue a client would retry only after a second.
    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=limit, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
