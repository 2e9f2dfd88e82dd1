"""QR codes as SVG images, for the pages."""

from __future__ import annotations

import asyncio
import io


class QrCodes:
    """Makes one code at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def svg(self, text: str) -> bytes:
        """Return the code of an ASCII text as an SVG image without a size of its own."""
        # In a thread, because it takes up to 100 ms. One at a time, because the threads would take turns with
        # the event loop.
        async with self._lock:
            return await asyncio.to_thread(_svg, text)


def _svg(text: str) -> bytes:
    import segno  # most gateways never make a code

    image = io.BytesIO()
    # Black on white in dark mode too: not every reader knows inverted codes.
    segno.make(text, error="m", micro=False).save(
        image, kind="svg", xmldecl=False, omitsize=True, dark="#000", light="#fff"
    )
    return image.getvalue()
