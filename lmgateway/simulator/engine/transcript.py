"""Converts a conversation of any API to one prompt."""

import json
import re
from collections.abc import Mapping, Sequence

import msgspec

from .prompt import Call, Limits, Prompt, Sampling, Schema, Tool
from .sample import sample

_IMAGES = frozenset({"image", "image_url", "input_image", "file"})
"""The SDK's files are images that were uploaded before."""

_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
"""Earlier thoughts, which templates of chats leave out."""

_TOOL_RESULTS = frozenset({"tool_result", "function_call_output", "toolCallResult"})


class Transcript:
    """Collects the messages, and decides whether the model calls a tool.

    It calls the tool that the last user message names, with the JSON object after the name as arguments
    (`Use the Bash tool: {"command": "date"}`); otherwise the first, once. It answers a tool's result in text.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._tools: tuple[Tool, ...] = ()
        self._images = 0
        self._messages = 0
        self._request: str | None = None
        self._tool_results = 0
        self._newest_result: str | None = None

    def add(self, role: str, content: object) -> None:
        """Add a message: text, a list of parts, or None for an assistant's message with only tool calls.

        OpenAI's role developer is LM Studio's system.
        """
        self._messages += 1
        if role == "developer":
            role = "system"
        self._lines.append(f"{role}:")
        lines, results = len(self._lines), self._tool_results
        if role == "tool":
            self._add_result(content)
        else:
            self._add_content(content)
        # Other text in a message with a tool's result is a remark of the client.
        if role == "user" and self._tool_results == results and len(self._lines) > lines:
            self._request = self._lines[-1]
            self._newest_result = None

    def offer(self, tools: Sequence[Tool], choice: object = None) -> None:
        """`choice` is a word or an object that names a tool, as in OpenAI's or Anthropic's API."""
        named = _named_choice(choice)
        self._lines += (f"tool {tool.name} {msgspec.json.encode(tool.schema).decode()}" for tool in tools)
        if choice != "none" and named != "none":
            self._tools = tuple(tool for tool in tools if named in (None, tool.name))

    def prompt(self, sampling: Sampling, limits: Limits, answer_schema: Schema | None = None) -> Prompt:
        return Prompt(
            text="\n".join(self._lines),
            messages=self._messages,
            images=self._images,
            request=self._request,
            tool_result=self._newest_result,
            call=self._call(),
            answer_schema=answer_schema,
            limits=limits,
            sampling=sampling,
        )

    def _add_content(self, content: object) -> None:
        match content:
            case None:
                pass
            case str():
                self._lines.append(content)
            case list():
                for part in content:
                    self._add_content(part)
            case {"type": str(kind)} if kind in _THOUGHTS:
                pass
            case {"type": str(kind)} if kind in _IMAGES:
                self._images += 1
            case {"type": str(kind), **rest} if kind in _TOOL_RESULTS:
                self._add_result(rest.get("content", rest.get("output")))
            case {"text": str(text)}:
                self._lines.append(text)
            case _:
                self._lines.append(msgspec.json.encode(content).decode())

    def _add_result(self, content: object) -> None:
        before = len(self._lines)
        self._add_content(content)
        self._tool_results += 1
        self._newest_result = "\n".join(self._lines[before:])

    def _call(self) -> Call | None:
        if self._newest_result is not None:
            return None
        request = self._request or ""
        named = [(match.end(), tool) for tool in self._tools if (match := _mention(tool, request))]
        if named:
            end, tool = min(named, key=lambda one: one[0])
            arguments = _first_object(request[end:])
            return Call(tool.name, sample(tool.schema) if arguments is None else arguments)
        if self._tools and not self._tool_results:
            return Call(self._tools[0].name, sample(self._tools[0].schema))
        return None


def _mention(tool: Tool, request: str) -> re.Match[str] | None:
    return re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", request)


def _first_object(text: str) -> dict[str, object] | None:
    """Return the JSON object that begins at the first brace, None if there is none."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
    except (ValueError, RecursionError):
        return None
    return dict(value)


def _named_choice(choice: object) -> str | None:
    """OpenAI's `{"function":{"name"}}` or Anthropic's `{"name"}`; "none"; None for any tool."""
    match choice:
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return name
        case {"type": "none"}:
            return "none"
    return None


def function_tools(tools: Sequence[Mapping[str, object]] | None) -> list[Tool]:
    """Tools as OpenAI describes them (in `function`, or flat) or as Anthropic does (`input_schema`).

    Tools of other types, which a server would run itself, are skipped.
    """
    parsed = []
    for tool in tools or ():
        function = tool.get("function", tool)
        if isinstance(function, Mapping) and isinstance(name := function.get("name"), str):
            schema = function.get("parameters", function.get("input_schema"))
            # Arguments are an object, also where a tool describes none.
            parsed.append(Tool(name, {"type": "object", **(schema if isinstance(schema, Mapping) else {})}))
    return parsed
