"""QR codes as SVG images, for the pages."""

from __future__ import annotations

import asyncio
import io

from ..background import DetachedTasks, join


class QrCodes:
    """Makes one code at a time. The owner closes it."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._tasks = DetachedTasks()

    async def svg(self, text: str) -> bytes:
        """Return the code of an ASCII text as an SVG image without a size of its own."""
        # In a thread, because it takes up to 100 ms. One at a time, because the threads would take turns with
        # the event loop. A thread goes on if its client leaves, so the lock is held until it has ended.
        await self._lock.acquire()
        making = self._tasks.start(asyncio.to_thread(_svg, text))
        making.add_done_callback(lambda _: self._lock.release())
        return await join(making)

    async def close(self) -> None:
        await self._tasks.close()


def _svg(text: str) -> bytes:
    import segno  # most gateways never make a code

    image = io.BytesIO()
    # Black on white in dark mode too: not every reader knows inverted codes.
    segno.make(text, error="m", micro=False).save(
        image, kind="svg", xmldecl=False, omitsize=True, dark="#000", light="#fff"
    )
    return image.getvalue()
