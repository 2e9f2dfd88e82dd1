"""A model's load settings: flat dotted keys, as LM Studio's SDK sends them and reports what was applied."""

from collections.abc import Mapping

import msgspec

from .catalogue import Model

DEFAULT_CONTEXT_LENGTH = 4096
DEFAULT_PARALLEL = 4

PARALLEL = "llm.load.numParallelSessions"
UNIFIED_KV_CACHE = "llm.load.useUnifiedKvCache"

Settings = dict[str, object]
"""Dotted key to value, e.g. `{"llm.load.contextLength": 8192}`."""


class Field(msgspec.Struct, frozen=True):
    key: str
    value: object = None


class Config(msgspec.Struct, frozen=True):
    """`{"fields":[{"key","value"?},…]}`"""

    fields: tuple[Field, ...] = ()


class Layer(msgspec.Struct, frozen=True, rename="camel"):
    layer_name: str
    config: Config


class ConfigStack(msgspec.Struct, frozen=True):
    """`{"layers":[{"layerName":"apiOverride","config":{…}},…]}`; the SDK's loads have one layer."""

    layers: tuple[Layer, ...] = ()

    def settings(self) -> Settings:
        """Merge the layers; the first one with a key takes precedence."""
        return {field.key: field.value for layer in reversed(self.layers) for field in layer.config.fields}


def as_config(settings: Mapping[str, object]) -> dict[str, object]:
    """Return it in the shape of the response to `getLoadConfig`."""
    return {"fields": [{"key": key, "value": value} for key, value in settings.items()]}


def context_length_key(domain: str) -> str:
    return f"{domain}.load.contextLength"


def applied(model: Model, *layers: Mapping[str, object]) -> Settings:
    """Return the defaults with these settings, later ones first; keys of another domain are dropped."""
    settings = _defaults(model)
    for layer in layers:
        for key, value in layer.items():
            if key.startswith((f"{model.type}.load.", "load.")) and value is not None:
                settings[key] = value
    return settings


def context_length(settings: Mapping[str, object], domain: str) -> int:
    value = settings[context_length_key(domain)]
    return value if isinstance(value, int) else DEFAULT_CONTEXT_LENGTH


def parallel(settings: Mapping[str, object]) -> int:
    """Return the number of slots. An embedding model has no such setting, and one slot (assumed)."""
    value = settings.get(PARALLEL, 1)
    return value if isinstance(value, int) and value >= 1 else DEFAULT_PARALLEL


def _defaults(model: Model) -> Settings:
    prefix = f"{model.type}.load"
    settings: Settings = {
        context_length_key(model.type): min(DEFAULT_CONTEXT_LENGTH, model.max_context_length),
        f"{prefix}.llama.acceleration.offloadRatio": "max",
        f"{prefix}.llama.keepModelInMemory": True,
        f"{prefix}.llama.tryMmap": True,
    }
    if model.type == "llm":
        settings |= {
            PARALLEL: DEFAULT_PARALLEL,
            UNIFIED_KV_CACHE: True,
            f"{prefix}.llama.autoFit": True,
            f"{prefix}.llama.evalBatchSize": 2048,
            f"{prefix}.llama.physicalBatchSize": 512,
            f"{prefix}.llama.flashAttention": True,
            f"{prefix}.offloadKVCacheToGpu": True,
        }
    return settings
