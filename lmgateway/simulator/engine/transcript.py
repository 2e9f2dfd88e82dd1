"""A conversation in any API's words, turned into one prompt."""

from collections.abc import Mapping, Sequence

import msgspec

from .prompt import Limits, Prompt, Sampling, Schema, Tool

_IMAGES = frozenset({"image", "image_url", "input_image", "file"})
"""The SDK's files are images that were uploaded before."""

_TOOL_RESULTS = frozenset({"tool_result", "function_call_output", "toolCallResult"})


class Transcript:
    """Collects what the model is to read. A conversation that holds a tool's result is answered in text."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._tools: tuple[Tool, ...] = ()
        self._images = 0
        self._messages = 0
        self._holds_tool_result = False

    def add(self, role: str, content: object) -> None:
        """A message: text, a list of parts, or nothing (an assistant that only called a tool)."""
        self._messages += 1
        self._lines.append(f"{role}:")
        self._holds_tool_result |= role == "tool"
        self._add_content(content)

    def offer(self, tools: Sequence[Tool], choice: object = None) -> None:
        """`choice` is a word or an object that names a tool, in OpenAI's or Anthropic's words."""
        named = _named_choice(choice)
        self._lines += (f"tool {tool.name} {msgspec.json.encode(tool.schema).decode()}" for tool in tools)
        if choice != "none" and named != "none":
            self._tools = tuple(tool for tool in tools if named in (None, tool.name))

    def prompt(self, sampling: Sampling, limits: Limits, answer_schema: Schema | None = None) -> Prompt:
        call = self._tools[0] if self._tools and not self._holds_tool_result else None
        return Prompt(
            text="\n".join(self._lines),
            messages=self._messages,
            images=self._images,
            call=call,
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
            case {"type": str(kind)} if kind in _IMAGES:
                self._images += 1
            case {"type": str(kind), **rest} if kind in _TOOL_RESULTS:
                self._holds_tool_result = True
                self._add_content(rest.get("content", rest.get("output")))
            case {"text": str(text)}:
                self._lines.append(text)
            case _:
                self._lines.append(msgspec.json.encode(content).decode())


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

    Tools of other types, which a server would run by itself, are left out.
    """
    found = []
    for tool in tools or ():
        function = tool.get("function", tool)
        if isinstance(function, Mapping) and isinstance(name := function.get("name"), str):
            schema = function.get("parameters", function.get("input_schema"))
            found.append(Tool(name, dict(schema) if isinstance(schema, Mapping) else {}))
    return found
