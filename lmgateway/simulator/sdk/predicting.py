"""The channel of generations, and their prompts."""

import msgspec

from ..engine import load_config
from ..engine.faults import Fault
from ..engine.generation import Generation
from ..engine.load_config import ConfigStack, Settings
from ..engine.prompt import Limits, Prompt, Sampling, Schema
from ..engine.studio import Studio
from ..engine.transcript import Transcript, function_tools
from .endpoints import Channel, Stopped
from .specifiers import Specifier, pick


class Message(msgspec.Struct, frozen=True):
    role: str
    content: list[dict[str, object]]


class History(msgspec.Struct, frozen=True):
    messages: list[Message]


class Predict(msgspec.Struct, frozen=True, rename="camel"):
    model_specifier: Specifier
    history: History
    prediction_config_stack: ConfigStack


class RenderPrompt(msgspec.Struct, frozen=True, rename="camel"):
    specifier: Specifier
    history: History


class Predicting:
    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def predict(self, parameter: Predict, channel: Channel) -> None:
        """Sends promptProcessingProgress …, fragment …, toolCallGeneration…, success.

        When cancelled by `{"type":"cancel"}` it also ends with success, with the stop reason userStopped.
        """
        instance = pick(self._studio.memory, parameter.model_specifier, "llm")
        settings = parameter.prediction_config_stack.settings()
        prompt = _prompt(parameter.history, settings)
        try:
            with self._studio.generate(instance, prompt, "sdk/predict") as generation:
                await channel.until_stopped(_generate(generation, channel))
        except Stopped:
            # The exception ended `generation`, so the ledger counts it as aborted.
            pass
        await channel.send(
            {
                "type": "success",
                "stats": _stats(generation),
                "modelInfo": self._studio.memory.description(instance),
                "loadModelConfig": load_config.as_config(instance.settings),
                "predictionConfig": load_config.as_config(settings),
            }
        )

    async def apply_prompt_template(self, parameter: RenderPrompt) -> object:
        pick(self._studio.memory, parameter.specifier, "llm")
        return {"formatted": _prompt(parameter.history, {}).text}


async def _generate(generation: Generation, channel: Channel) -> None:
    async def report(fraction: float) -> None:
        processed = round(generation.prompt_tokens * fraction)
        details = {
            "cachedTokenCount": 0,
            "totalPromptTokenCount": generation.prompt_tokens,
            "processedPromptTokenCount": processed,
            "unprocessedPromptTokenCount": generation.prompt_tokens - processed,
        }
        await channel.send({"type": "promptProcessingProgress", "progress": fraction, "details": details})

    await generation.read_prompt(report)
    async for piece in generation.reasoning:
        await channel.send(_fragment(piece, "reasoning"))
    if generation.composition.tool_name is not None:
        await _call_tool(generation, channel)
        return
    async for piece in generation.answer:
        await channel.send(_fragment(piece, "none"))


def _fragment(piece: str, reasoning_type: str) -> dict[str, object]:
    fragment = {
        "content": piece,
        "tokensCount": 1,
        "containsDrafted": False,
        "reasoningType": reasoning_type,
        "isStructural": False,
    }
    return {"type": "fragment", "fragment": fragment}


async def _call_tool(generation: Generation, channel: Channel) -> None:
    composition = generation.composition
    await channel.send({"type": "toolCallGenerationStart", "toolCallId": composition.tool_call_id})
    await channel.send({"type": "toolCallGenerationNameReceived", "name": composition.tool_name})
    async for piece in generation.answer:
        await channel.send({"type": "toolCallGenerationArgumentFragmentGenerated", "content": piece})
    if generation.stop_reason == "maxPredictedTokensReached":
        error = Fault("The tool call was cut off by the limit of predicted tokens.").serialized()
        await channel.send({"type": "toolCallGenerationFailed", "error": error})
        return
    request = {
        "type": "function",
        "id": composition.tool_call_id,
        "name": composition.tool_name,
        "arguments": msgspec.json.decode(composition.text),
    }
    await channel.send({"type": "toolCallGenerationEnd", "toolCallRequest": request})


def _stats(generation: Generation) -> dict[str, object]:
    return {
        "stopReason": generation.stop_reason,
        "tokensPerSecond": generation.tokens_per_second,
        "timeToFirstTokenSec": generation.seconds_to_first_token,
        "promptTokensCount": generation.prompt_tokens,
        "predictedTokensCount": generation.completion_tokens,
        "totalTokensCount": generation.total_tokens,
    }


def _prompt(history: History, settings: Settings) -> Prompt:
    transcript = Transcript()
    for message in history.messages:
        transcript.add(message.role, message.content)
    match settings.get("llm.prediction.tools"):
        case {"type": "toolArray", "tools": list(tools)}:
            transcript.offer(function_tools(tools))
    return transcript.prompt(_sampling(settings), _limits(settings), _answer_schema(settings))


def _limits(settings: Settings) -> Limits:
    """Unwrap a setting of the form `{"checked":bool,"value":…}`."""
    stops = settings.get("llm.prediction.stopStrings")
    stop = tuple(str(one) for one in stops) if isinstance(stops, list) else ()
    match settings.get("llm.prediction.maxPredictedTokens"):
        case {"checked": True, "value": int(most)}:
            return Limits(most, stop)
    return Limits(None, stop)


def _sampling(settings: Settings) -> Sampling:
    temperature = settings.get("llm.prediction.temperature")
    return Sampling(temperature=temperature if isinstance(temperature, int | float) else None)


def _answer_schema(settings: Settings) -> Schema | None:
    match settings.get("llm.prediction.structured"):
        case {"type": "json", "jsonSchema": dict(schema)}:
            return schema
    return None
