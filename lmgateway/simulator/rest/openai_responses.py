"""`POST /v1/responses`, which continues the conversation of its `previous_response_id`."""

import itertools
from collections.abc import Callable

from aiohttp import web

from ..engine.generation import Generation
from ..keys import STUDIO
from .answering import answer
from .bodies import Json, read_body
from .response_document import ResponseDocument, ResponsesBody, output_text
from .sse import EventStream
from .validation import check_response_tools


async def responses(request: web.Request) -> web.StreamResponse:
    body = await read_body(request, ResponsesBody)
    check_response_tools(body.tools)
    conversations = request.app[STUDIO].conversations
    earlier = conversations.recall(body.previous_response_id)

    def remember(answer: ResponseDocument) -> None:
        if body.store is not False:
            conversations.store(answer.id, (*earlier, *body.turns(), answer.turn()))

    async def stream(events: EventStream, generation: Generation) -> None:
        await _ResponseStream(events, ResponseDocument(body, generation), remember).run()

    def whole(generation: Generation) -> Json:
        remember(answer := ResponseDocument(body, generation))
        return answer.finished()

    return await answer(request, body, body.as_prompt(earlier), "responses", whole, stream)


class _ResponseStream:
    """The events of one response. Each has a number, and its type as its name and in its data."""

    def __init__(
        self, events: EventStream, answer: ResponseDocument, on_finished: Callable[[ResponseDocument], None]
    ) -> None:
        self._events = events
        self._on_finished = on_finished
        self._answer = answer
        self._numbers = itertools.count()

    async def run(self) -> None:
        answer = self._answer
        await self._send("response.created", response=answer.in_progress())
        await self._send("response.in_progress", response=answer.in_progress())
        index = 0
        if answer.generation.composition.reasoning:
            await self._stream_reasoning()
            index = 1
        item = answer.item("in_progress", None)
        await self._send("response.output_item.added", output_index=index, item=item)
        stream = self._stream_text if item["type"] == "message" else self._stream_arguments
        await stream({"item_id": item["id"], "output_index": index})
        item = answer.item("completed", answer.generation.composition.text)
        await self._send("response.output_item.done", output_index=index, item=item)
        finished = answer.finished()
        self._on_finished(answer)
        await self._send(f"response.{finished['status']}", response=finished)

    async def _stream_reasoning(self) -> None:
        answer = self._answer
        place: Json = {"item_id": answer.reasoning_id, "output_index": 0, "content_index": 0}
        text = answer.generation.composition.reasoning_text
        item = answer.reasoning_item(None)
        await self._send("response.output_item.added", output_index=0, item=item)
        async for piece in answer.generation.reasoning:
            await self._send("response.reasoning_text.delta", **place, delta=piece)
        await self._send("response.reasoning_text.done", **place, text=text)
        await self._send("response.output_item.done", output_index=0, item=answer.reasoning_item(text))

    async def _stream_text(self, place: Json) -> None:
        place = {**place, "content_index": 0}
        await self._send("response.content_part.added", **place, part=output_text(""))
        async for piece in self._answer.generation.answer:
            await self._send("response.output_text.delta", **place, delta=piece, logprobs=[])
        text = self._answer.generation.composition.text
        await self._send("response.output_text.done", **place, text=text, logprobs=[])
        await self._send("response.content_part.done", **place, part=output_text(text))

    async def _stream_arguments(self, place: Json) -> None:
        async for piece in self._answer.generation.answer:
            await self._send("response.function_call_arguments.delta", **place, delta=piece)
        composition = self._answer.generation.composition
        await self._send(
            "response.function_call_arguments.done",
            **place,
            name=composition.tool_name,
            arguments=composition.text,
        )

    async def _send(self, event: str, **content: object) -> None:
        await self._events.send({"type": event, "sequence_number": next(self._numbers), **content}, event)
