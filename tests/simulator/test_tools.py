"""Which tool a simulated model calls, with which arguments, and its answer to the result."""

import anthropic
import openai
import pytest

from lmgateway.simulator.engine.composition import compose
from lmgateway.simulator.engine.prompt import Call, Limits, Prompt, Sampling
from lmgateway.simulator.engine.transcript import Transcript, function_tools

from .conftest import LLM

READ = {"name": "Read", "input_schema": {"properties": {"path": {"type": "string"}}}}
BASH = {"name": "Bash", "input_schema": {"properties": {"command": {"type": "string"}}}}
SOME_BASH = Call("Bash", {"command": "example"})
RESULT = [{"type": "tool_result", "content": "42"}, {"type": "text", "text": "Remember to Read."}]


def prompt(*messages: tuple[str, object], choice: object = None) -> Prompt:
    transcript = Transcript()
    for role, content in messages:
        transcript.add(role, content)
    transcript.offer(function_tools([READ, BASH]), choice)
    return transcript.prompt(Sampling(), Limits())


@pytest.mark.parametrize(
    ("request_", "call"),
    [
        ("Hello", Call("Read", {"path": "example"})),
        ("Please use Bash.", SOME_BASH),
        ('Bash: {"command": "date"}', Call("Bash", {"command": "date"})),
        ('{"n": 1} Bash {"command": "date", "n": [{}]} Read', Call("Bash", {"command": "date", "n": [{}]})),
        ("Bash {oh no}", SOME_BASH),
        ("Rebash and Reading", Call("Read", {"path": "example"})),
        ([{"type": "text", "text": "Read this"}, {"type": "text", "text": "Bash"}], SOME_BASH),
    ],
)
def test_the_user_names_a_tool(request_: object, call: Call):
    """And its arguments, if a JSON object follows the name; the last words of a message count."""
    assert prompt(("system", "Use Bash."), ("user", request_)).call == call


def test_a_result_is_answered_in_text():
    """Whatever a client adds to it; what the tool gave is in the answer."""
    asked = prompt(("user", "Read 3 words"), ("assistant", None), ("user", RESULT), ("system", "Bash"))
    assert asked.call is None
    assert compose("m", asked).text == "This is a"
    asked = prompt(("user", "Read"), ("assistant", None), ("tool", "4\n2"))
    assert compose("m", asked).text.startswith('This is a simulated answer from m. The tool gave "4 2". ')


def test_the_next_question_may_call_again():
    """By name; without one a conversation that has used a tool goes on in text."""
    before = (("user", "Read"), ("assistant", None), ("user", RESULT), ("assistant", "It is 42."))
    assert prompt(*before, ("user", "Thank you")).call is None
    assert prompt(*before, ("user", "Thank you")).tool_result is None
    assert prompt(*before, ("user", "Now Bash")).call == SOME_BASH


def test_a_forced_tool_takes_its_arguments_too():
    """tool_choice leaves one tool, which may be named besides."""
    forced = {"type": "tool", "name": "Bash"}
    assert prompt(("user", 'Read {"path": "a"}'), choice=forced).call == SOME_BASH
    assert prompt(("user", 'Bash {"command": "a"}'), choice=forced).call == Call("Bash", {"command": "a"})


def test_words_are_counted_in_the_users_text_only():
    """A number of words in a tool's description is no request."""
    transcript = Transcript()
    transcript.add("user", "Hello")
    transcript.offer(function_tools([{**READ, "input_schema": {"description": "in 3 words"}}]), "none")
    assert len(compose("m", transcript.prompt(Sampling(), Limits())).text.split()) > 10


async def test_two_turns_of_an_agent(openai_client: openai.AsyncOpenAI):
    """Over /v1/responses, where the client sends all items: a call, its result, and the next question."""
    tool = {"type": "function", "name": "Bash", "parameters": {"type": "object", **BASH["input_schema"]}}
    items: list[object] = [{"role": "user", "content": 'Bash {"command": "date"}'}]
    first = await openai_client.responses.create(model=LLM, input=items, tools=[tool])
    [call] = first.output
    assert (call.type, call.arguments) == ("function_call", '{"command":"date"}')
    items += [
        call.model_dump(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "Monday"},
    ]
    second = await openai_client.responses.create(model=LLM, input=items, tools=[tool])
    assert 'The tool gave "Monday".' in second.output_text
    items += [*(item.model_dump() for item in second.output), {"role": "user", "content": "Bash again"}]
    third = await openai_client.responses.create(model=LLM, input=items, tools=[tool])
    assert third.output[0].type == "function_call"


async def test_a_result_in_a_message(anthropic_client: anthropic.AsyncAnthropic):
    """As Anthropic's clients send it: a part of the user's message."""
    question = {"role": "user", "content": 'Bash {"command": "date"}'}
    first = await anthropic_client.messages.create(
        model=LLM, max_tokens=500, messages=[question], tools=[BASH]
    )
    [use] = first.content
    assert first.stop_reason == "tool_use"
    assert (use.name, use.input) == ("Bash", {"command": "date"})
    result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "Monday"}]}
    turns = [question, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = await anthropic_client.messages.create(model=LLM, max_tokens=500, messages=turns, tools=[BASH])
    assert second.stop_reason == "end_turn"
    assert 'The tool gave "Monday".' in second.content[0].text
