"""The `llm` and `embedding` namespaces."""

import msgspec

from ..engine import load_config, speech
from ..engine.catalogue import Domain
from ..engine.faults import InstanceUnloaded, NothingMatches
from ..engine.instance import Instance
from ..engine.load_config import ConfigStack
from ..engine.load_order import LoadOrder
from ..engine.studio import Studio
from .endpoints import ChannelEndpoint, Namespace, Rpc
from .loading import GetOrLoad, Loading, LoadModel
from .predicting import CompleteRawText, Predict, Predicting, RenderPrompt
from .specifiers import Specifier, pick

CONTEXT_BYTES_PER_TOKEN = 131_072
"""Memory that a token of context takes in the estimate."""


class Specified(msgspec.Struct, frozen=True, rename="camel"):
    specifier: Specifier


class MaybeSpecified(msgspec.Struct, frozen=True, rename="camel"):
    specifier: Specifier
    throw_if_not_found: bool


class Unload(msgspec.Struct, frozen=True):
    identifier: str


class Estimate(msgspec.Struct, frozen=True, rename="camel"):
    model_key: str
    load_config_stack: ConfigStack


class Tokenize(msgspec.Struct, frozen=True, rename="camel"):
    specifier: Specifier
    input_string: str


class EmbedString(msgspec.Struct, frozen=True, rename="camel"):
    model_specifier: Specifier
    input_string: str


def llm(studio: Studio) -> Namespace:
    shared = _shared(studio, "llm")
    predicting = Predicting(studio)
    return Namespace(
        rpcs={**shared.rpcs, "applyPromptTemplate": Rpc(RenderPrompt, predicting.apply_prompt_template)},
        channels={
            **shared.channels,
            "predict": ChannelEndpoint(Predict, predicting.predict),
            "completeRawText": ChannelEndpoint(CompleteRawText, predicting.complete_raw_text),
        },
    )


def embedding(studio: Studio) -> Namespace:
    async def embed_string(parameter: EmbedString) -> object:
        instance = pick(studio.memory, parameter.model_specifier, "embedding")
        vectors, _ = await studio.embed(instance, [parameter.input_string], "sdk/embedString")
        return {"embedding": list(vectors[0])}

    shared = _shared(studio, "embedding")
    return Namespace(
        rpcs={**shared.rpcs, "embedString": Rpc(EmbedString, embed_string)}, channels=shared.channels
    )


def _shared(studio: Studio, domain: Domain) -> Namespace:
    inquiries = _Inquiries(studio, domain)
    loading = Loading(studio, domain)
    return Namespace(
        rpcs={
            "listLoaded": Rpc(None, inquiries.list_loaded),
            "getModelInfo": Rpc(MaybeSpecified, inquiries.get_model_info),
            "getLoadConfig": Rpc(Specified, inquiries.get_load_config),
            "getBasePredictionConfig": Rpc(Specified, inquiries.get_base_prediction_config),
            "unloadModel": Rpc(Unload, inquiries.unload_model),
            "getInstanceProcessingState": Rpc(MaybeSpecified, inquiries.get_instance_processing_state),
            "estimateModelUsage": Rpc(Estimate, inquiries.estimate_model_usage),
            "tokenize": Rpc(Tokenize, inquiries.tokenize),
            "countTokens": Rpc(Tokenize, inquiries.count_tokens),
        },
        channels={
            "loadModel": ChannelEndpoint(LoadModel, loading.load_model),
            "getOrLoad": ChannelEndpoint(GetOrLoad, loading.get_or_load),
        },
    )


class _Inquiries:
    """The calls that need no channel."""

    def __init__(self, studio: Studio, domain: Domain) -> None:
        self._studio = studio
        self._memory = studio.memory
        self._domain = domain

    async def list_loaded(self, _: None) -> object:
        return [self._memory.description(instance) for instance in self._memory.instances(self._domain)]

    async def get_model_info(self, parameter: MaybeSpecified) -> object:
        instance = self._pick(parameter)
        return msgspec.UNSET if instance is None else self._memory.description(instance)

    async def get_load_config(self, parameter: Specified) -> object:
        instance = pick(self._memory, parameter.specifier, self._domain)
        return load_config.as_config(instance.settings)

    async def get_base_prediction_config(self, parameter: Specified) -> object:
        """Return an empty config, because no model on the simulated disk has its own prediction settings."""
        pick(self._memory, parameter.specifier, self._domain)
        return load_config.as_config({})

    async def unload_model(self, unload: Unload) -> object:
        await self._studio.unload(unload.identifier, self._domain, by="sdk")
        return msgspec.UNSET

    async def get_instance_processing_state(self, parameter: MaybeSpecified) -> object:
        instance = self._pick(parameter)
        return msgspec.UNSET if instance is None else instance.processing_state()

    async def estimate_model_usage(self, parameter: Estimate) -> object:
        """Everything on the GPU, and the context in proportion to its length."""
        model = self._studio.on_disk(parameter.model_key, self._domain)
        order = LoadOrder(model=model, settings=parameter.load_config_stack.settings())
        context_bytes = order.context_length() * CONTEXT_BYTES_PER_TOKEN
        total_bytes = model.size_bytes + context_bytes
        memory = {
            "confidence": "high",
            "modelVramBytes": model.size_bytes,
            "contextVramBytes": context_bytes,
            "totalVramBytes": total_bytes,
            "modelBytes": model.size_bytes,
            "contextBytes": context_bytes,
            "totalBytes": total_bytes,
        }
        return {"memory": memory, "passesGuardrails": order.fits()}

    async def tokenize(self, text: Tokenize) -> object:
        pick(self._memory, text.specifier, self._domain)
        return {"tokens": speech.piece_ids(text.input_string)}

    async def count_tokens(self, text: Tokenize) -> object:
        pick(self._memory, text.specifier, self._domain)
        return {"tokenCount": speech.count_pieces(text.input_string)}

    def _pick(self, parameter: MaybeSpecified) -> Instance | None:
        try:
            return pick(self._memory, parameter.specifier, self._domain)
        except (NothingMatches, InstanceUnloaded):
            if parameter.throw_if_not_found:
                raise
            return None
