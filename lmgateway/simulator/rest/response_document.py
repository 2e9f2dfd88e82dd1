"""The requests and the response objects of `/v1/responses`."""

import secrets
import time

from ..engine.conversations import Turn
from ..engine.generation import Generation
from ..engine.prompt import Limits, Prompt, Schema
from ..engine.transcript import Transcript, function_tools
from .bodies import InferenceBody, Json


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


class ResponseDocument:
    """One response object in its states: in progress, then completed or incomplete."""

    def __init__(self, body: ResponsesBody, generation: Generation) -> None:
        self.generation = generation
        self.item_id = (
            f"{'msg' if generation.composition.tool_name is None else 'fc'}_{secrets.token_hex(16)}"
        )
        self.reasoning_id = f"rs_{secrets.token_hex(16)}"
        self._body = body
        self.id = f"resp_{secrets.token_hex(24)}"
        self._created_at = int(time.time())

    def in_progress(self) -> Json:
        return self._document("in_progress", [], usage=None, incomplete_details=None)

    def finished(self) -> Json:
        cut = self.generation.stop_reason == "maxPredictedTokensReached"
        return self._document(
            "incomplete" if cut else "completed",
            self._output(),
            usage=_usage(self.generation),
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
        )

    def turn(self) -> Turn:
        return _turn(self.item("completed", self.generation.composition.text))

    def item(self, status: str, text: str | None) -> Json:
        """The answer, an output item; `text` is None while there is none yet."""
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

    def reasoning_item(self, text: str | None) -> Json:
        """The thoughts, the output item before the answer."""
        content = [] if text is None else [{"type": "reasoning_text", "text": text}]
        return {"id": self.reasoning_id, "type": "reasoning", "summary": [], "content": content}

    def _output(self) -> list[Json]:
        composition = self.generation.composition
        output = [self.item("completed", composition.text)]
        if composition.reasoning:
            output.insert(0, self.reasoning_item(composition.reasoning_text))
        return output

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
        "output_tokens_details": {"reasoning_tokens": generation.reasoning_tokens},
        "total_tokens": generation.total_tokens,
    }


def _answer_schema(text: Json | None) -> Schema | None:
    match text:
        case {"format": {"type": "json_schema", "schema": dict(schema)}}:
            return schema
    return None
