"""`POST /v1/responses`, which continues the conversation of its `previous_response_id`."""

import itertools
import secrets
import time
from collections.abc import Callable

from aiohttp import web

from ..engine.conversations import Turn
from ..engine.generation import Generation
from ..engine.prompt import Limits, Prompt, Schema
from ..engine.transcript import Transcript, function_tools
from ..keys import STUDIO
from .answering import answer
from .bodies import InferenceBody, Json, read_body
from .sse import EventStream
from .validation import check_response_tools


class ResponsesBody(InferenceBody, frozen=True, kw_only=True):
    input: str | list[Json]
    instructions: str | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    store: bool | None = True
    text: Json | None = None
    tools: list[Json] | None = None
    tool_choice: object = None

    def turns(self) -> tuple[Turn, ...]:
        if isinstance(self.input, str):
            return (Turn("user", self.input),)
        return tuple(_turn(item) for item in self.input)

    def as_prompt(self, earlier: tuple[Turn, ...]) -> Prompt:
        """Instructions aren't stored: those of this request count."""
        transcript = Transcript()
        if self.instructions:
            transcript.add("system", self.instructions)
        for turn in (*earlier, *self.turns()):
            transcript.add(turn.role, turn.content)
        transcript.offer(function_tools(self.tools), self.tool_choice)
        return transcript.prompt(self.sampling(), Limits(self.max_output_tokens), _answer_schema(self.text))


async def responses(request: web.Request) -> web.StreamResponse:
    body = await read_body(request, ResponsesBody)
    check_response_tools(body.tools)
    conversations = request.app[STUDIO].conversations
    earlier = conversations.recall(body.previous_response_id)

    def remember(answer: "_Answer") -> None:
        if body.store is not False:
            conversations.store(answer.id, (*earlier, *body.turns(), answer.turn()))

    async def stream(events: EventStream, generation: Generation) -> None:
        await _ResponseStream(events, _Answer(body, generation), remember).run()

    def whole(generation: Generation) -> Json:
        remember(answer := _Answer(body, generation))
        return answer.finished()

    return await answer(request, body, body.as_prompt(earlier), "responses", whole, stream)


class _Answer:
    """One response object in its states: in progress, then completed or incomplete."""

    def __init__(self, body: ResponsesBody, generation: Generation) -> None:
        self.generation = generation
        self.item_id = (
            f"{'msg' if generation.composition.tool_name is None else 'fc'}_{secrets.token_hex(16)}"
        )
        self._body = body
        self.id = f"resp_{secrets.token_hex(24)}"
        self._created_at = int(time.time())

    def in_progress(self) -> Json:
        return self._document("in_progress", [], usage=None, incomplete_details=None)

    def finished(self) -> Json:
        cut = self.generation.stop_reason == "maxPredictedTokensReached"
        return self._document(
            "incomplete" if cut else "completed",
            [self.item("completed", self.generation.composition.text)],
            usage=_usage(self.generation),
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
        )

    def turn(self) -> Turn:
        return _turn(self.item("completed", self.generation.composition.text))

    def item(self, status: str, text: str | None) -> Json:
        """The one output item; `text` is None while there is none yet."""
        composition = self.generation.composition
        if composition.tool_name is None:
            content = [] if text is None else [output_text(text)]
            return {
                "id": self.item_id,
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": content,
            }
        return {
            "id": self.item_id,
            "type": "function_call",
            "status": status,
            "call_id": f"call_{composition.tool_call_id}",
            "name": composition.tool_name,
            "arguments": text or "",
        }

    def _document(self, status: str, output: list[Json], **more: object) -> Json:
        body = self._body
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "error": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": {},
            "model": self.generation.instance.identifier,
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "store": body.store is not False,
            "temperature": body.temperature,
            "text": body.text or {"format": {"type": "text"}},
            "tool_choice": body.tool_choice or "auto",
            "tools": body.tools or [],
            "top_p": body.top_p,
            "truncation": "disabled",
            **more,
        }


class _ResponseStream:
    """The events of one response. Each has a number, and its type as its name and in its data."""

    def __init__(self, events: EventStream, answer: _Answer, on_finished: Callable[[_Answer], None]) -> None:
        self._events = events
        self._on_finished = on_finished
        self._answer = answer
        self._numbers = itertools.count()

    async def run(self) -> None:
        answer = self._answer
        await self._send("response.created", response=answer.in_progress())
        await self._send("response.in_progress", response=answer.in_progress())
        await self._send("response.output_item.added", output_index=0, item=answer.item("in_progress", None))
        if answer.generation.composition.tool_name is None:
            text = await self._stream_text()
        else:
            text = await self._stream_arguments()
        await self._send("response.output_item.done", output_index=0, item=answer.item("completed", text))
        finished = answer.finished()
        self._on_finished(answer)
        await self._send(f"response.{finished['status']}", response=finished)

    async def _stream_text(self) -> str:
        place: Json = {"item_id": self._answer.item_id, "output_index": 0, "content_index": 0}
        await self._send("response.content_part.added", **place, part=output_text(""))
        async for piece in self._answer.generation:
            await self._send("response.output_text.delta", **place, delta=piece, logprobs=[])
        text = self._answer.generation.composition.text
        await self._send("response.output_text.done", **place, text=text, logprobs=[])
        await self._send("response.content_part.done", **place, part=output_text(text))
        return text

    async def _stream_arguments(self) -> str:
        place: Json = {"item_id": self._answer.item_id, "output_index": 0}
        async for piece in self._answer.generation:
            await self._send("response.function_call_arguments.delta", **place, delta=piece)
        composition = self._answer.generation.composition
        await self._send(
            "response.function_call_arguments.done",
            **place,
            name=composition.tool_name,
            arguments=composition.text,
        )
        return composition.text

    async def _send(self, event: str, **content: object) -> None:
        await self._events.send({"type": event, "sequence_number": next(self._numbers), **content}, event)


def _turn(item: Json) -> Turn:
    """Items without a role are tool calls and their results."""
    content = item.get("content") if "role" in item else [item]
    return Turn(str(item.get("role", "assistant")), content)


def output_text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(generation: Generation) -> Json:
    """Without cached tokens: LM Studio doesn't report them over HTTP."""
    return {
        "input_tokens": generation.prompt_tokens,
        "output_tokens": generation.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": generation.total_tokens,
    }


def _answer_schema(text: Json | None) -> Schema | None:
    match text:
        case {"format": {"type": "json_schema", "schema": dict(schema)}}:
            return schema
    return None
