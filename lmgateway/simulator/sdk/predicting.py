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


class TemplateOptions(msgspec.Struct, frozen=True, rename="camel"):
    tool_definitions: list[dict[str, object]] | None = None


class CompleteRawText(msgspec.Struct, frozen=True, rename="camel"):
    """`raw_prompt` is sent to the model as it is, without a template."""

    model_specifier: Specifier
    raw_prompt: str
    prediction_config_stack: ConfigStack


class RenderPrompt(msgspec.Struct, frozen=True, rename="camel"):
    specifier: Specifier
    history: History
    prediction_config_stack: ConfigStack = ConfigStack()
    opts: TemplateOptions = TemplateOptions()


class Predicting:
    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def predict(self, parameter: Predict, channel: Channel) -> None:
        """Sends promptProcessingProgress …, fragment …, toolCallGeneration…, success.

        When cancelled by `{"type":"cancel"}` it also ends with success, with the stop reason userStopped.
        """
        settings = parameter.prediction_config_stack.settings()
        prompt = _prompt(parameter.history, settings)
        await self._predict(parameter.model_specifier, prompt, settings, channel, "sdk/predict")

    async def complete_raw_text(self, parameter: CompleteRawText, channel: Channel) -> None:
        """Sends the packets of predict(), except those of tools."""
        settings = parameter.prediction_config_stack.settings()
        prompt = Prompt(
            text=parameter.raw_prompt,
            answer_schema=_answer_schema(settings),
            limits=_limits(settings),
            sampling=_sampling(settings),
        )
        await self._predict(parameter.model_specifier, prompt, settings, channel, "sdk/completeRawText")

    async def _predict(
        self, specifier: Specifier, prompt: Prompt, settings: Settings, channel: Channel, api: str
    ) -> None:
        instance = pick(self._studio.memory, specifier, "llm")
        try:
            with self._studio.generate(instance, prompt, api) as generation:
                await channel.until_stopped(_generate(generation, channel))
        except Stopped:
            # The exception ended `generation`, so the ledger counts it as aborted.
            pass
        await channel.send(
            {
                "type": "success",
                "stats": generation.stats(),
                "modelInfo": self._studio.memory.description(instance),
                "loadModelConfig": load_config.as_config(instance.settings),
                "predictionConfig": load_config.as_config(settings),
            }
        )

    async def apply_prompt_template(self, parameter: RenderPrompt) -> object:
        pick(self._studio.memory, parameter.specifier, "llm")
        settings = parameter.prediction_config_stack.settings()
        if (tools := parameter.opts.tool_definitions) is not None:
            settings["llm.prediction.tools"] = {"type": "toolArray", "tools": tools}
        return {"formatted": _prompt(parameter.history, settings).text}


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
