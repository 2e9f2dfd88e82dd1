"""An answer's way to a client that takes it as fast as it comes: no task is woken for each token."""

from __future__ import annotations

from collections.abc import Callable

from ..aiohttp_private.relayed_response import BodyWriter
from ..aiohttp_private.server_protocol import ServerProtocol
from ..boxes.http.response import Answer


class Flow:
    """Passes an answer on while it comes in, in the event loop's own call that read it.

    To wake the request's task for each token takes longer than to pass the token on. It sleeps until the
    answer's end; and what a slow client has not taken by then is left to it.
    """

    def __init__(
        self,
        answer: Answer,
        client: ServerProtocol,
        writer: BodyWriter,
        meter: Callable[[bytes], bytes],
    ) -> None:
        self._answer, self._client, self._writer, self._meter = answer, client, writer, meter
        self._is_passing = False
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Pass on what comes in until nothing more will.

        Raises ConnectionResetError if the client is gone.
        """
        self._client.on_writable = self._pass_on
        try:
            await self._answer.wait_end(self._pass_on)
        finally:
            self._client.on_writable = None
        if self._failure is not None:
            raise self._failure

    def _pass_on(self) -> None:
        # To read may have more come in, which calls this again.
        if self._is_passing or self._failure is not None:
            return
        self._is_passing = True
        try:
            while not self._client.writing_paused and (chunk := self._answer.read_ready()):
                self._writer.write_now(self._meter(chunk))
        except Exception as exc:  # noqa: BLE001 - raised again in `run`; the event loop would only log it
            self._failure = exc
            self._answer.break_off(exc)
        finally:
            self._is_passing = False
