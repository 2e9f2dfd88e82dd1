"""The models on disk."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

Domain = Literal["llm", "embedding"]
"""The two kinds of model that can be loaded; disks hold other kinds too."""


class Quantization(msgspec.Struct, frozen=True):
    name: str
    bits: int


class Model(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An entry of `listDownloadedModels`. Fields that a given model leaves out get these defaults.

    `reasoning` is the simulator's own: the model thinks before it answers a chat.
    """

    type: str = "llm"
    model_key: str
    format: str = "gguf"
    display_name: str = ""
    publisher: str = "lmstudio-community"
    path: str = ""
    size_bytes: int = 2_000_000_000
    params_string: str | None = None
    architecture: str | None = None
    quantization: Quantization | None = Quantization("Q4_K_M", 4)
    vision: bool = False
    trained_for_tool_use: bool = False
    max_context_length: int = 32768
    reasoning: bool = False

    def is_mlx(self) -> bool:
        """MLX models are `safetensors` in the SDK's protocol, and `mlx` in the HTTP APIs."""
        return self.format == "safetensors"

    @property
    def http_format(self) -> str:
        return "mlx" if self.is_mlx() else self.format


class Catalogue:
    """The models on disk by key, in the order in which they were added."""

    def __init__(self, extra: Iterable[Mapping[str, object]] = ()) -> None:
        self._models: dict[str, Model] = {}
        self._described: dict[str, dict[str, object]] = {}
        for description in (*_ON_DISK, *extra):
            self.add(description)

    def add(self, description: Mapping[str, object]) -> Model:
        """Add a model that is described as LM Studio does; unknown fields are sent to clients unchanged."""
        described = {**_defaults(msgspec.convert(description, Model)), **description}
        model = msgspec.convert(described, Model)
        self._models[model.model_key] = model
        del described["reasoning"]
        self._described[model.model_key] = described
        return model

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    def get(self, key: str) -> Model | None:
        return self._models.get(key)

    def at_path(self, path: str) -> Model | None:
        return next((model for model in self if model.path == path), None)

    def keys(self) -> list[str]:
        return list(self._models)

    def description(self, model: Model) -> dict[str, object]:
        """The model as the SDK's protocol shows it, a fresh dict."""
        return dict(self._described[model.model_key])


def _defaults(model: Model) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(model)
    fields["displayName"] = model.display_name or model.model_key
    fields["path"] = model.path or f"{model.publisher}/{model.model_key}.gguf"
    llm_only = ("vision", "trainedForToolUse")
    known = {
        key: value
        for key, value in fields.items()
        if value is not None and (model.type == "llm" or key not in llm_only)
    }
    # Null is this machine, as opposed to another one over LM Link.
    return {**known, "indexedModelIdentifier": fields["path"], "deviceIdentifier": None}


_ON_DISK: tuple[Mapping[str, object], ...] = (
    {
        "type": "llm",
        "modelKey": "qwen2.5-7b-instruct",
        "format": "gguf",
        "displayName": "Qwen2.5 7B Instruct",
        "publisher": "lmstudio-community",
        "path": "lmstudio-community/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf",
        "sizeBytes": 4_683_073_184,
        "paramsString": "7B",
        "architecture": "qwen2",
        "trainedForToolUse": True,
        "maxContextLength": 32768,
    },
    {
        "type": "llm",
        "modelKey": "llama-3.2-3b-instruct",
        "format": "gguf",
        "displayName": "Llama 3.2 3B Instruct",
        "publisher": "lmstudio-community",
        "path": "lmstudio-community/Llama-3.2-3B-Instruct-GGUF/Llama-3.2-3B-Instruct-Q4_K_M.gguf",
        "sizeBytes": 2_019_377_440,
        "paramsString": "3B",
        "architecture": "llama",
        "maxContextLength": 131072,
    },
    {
        "type": "llm",
        "modelKey": "qwen2.5-vl-7b-instruct",
        "format": "gguf",
        "displayName": "Qwen2.5 VL 7B Instruct",
        "publisher": "lmstudio-community",
        "path": "lmstudio-community/Qwen2.5-VL-7B-Instruct-GGUF/Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf",
        "sizeBytes": 6_036_493_216,
        "paramsString": "7B",
        "architecture": "qwen2vl",
        "vision": True,
        "maxContextLength": 128000,
    },
    {
        "type": "embedding",
        "modelKey": "text-embedding-nomic-embed-text-v1.5",
        "format": "gguf",
        "displayName": "Nomic Embed Text v1.5",
        "publisher": "nomic-ai",
        "path": "nomic-ai/nomic-embed-text-v1.5-GGUF/nomic-embed-text-v1.5.Q4_K_M.gguf",
        "sizeBytes": 84_106_624,
        "architecture": "nomic-bert",
        "maxContextLength": 2048,
    },
    {
        "type": "llm",
        "modelKey": "openai/gpt-oss-20b",
        "format": "gguf",
        "displayName": "OpenAI's gpt-oss 20B",
        "publisher": "openai",
        "path": "lmstudio-community/gpt-oss-20b-GGUF/gpt-oss-20b-MXFP4.gguf",
        "sizeBytes": 12_109_565_632,
        "paramsString": "20B",
        "architecture": "gpt-oss",
        "quantization": {"name": "MXFP4", "bits": 4},
        "trainedForToolUse": True,
        "maxContextLength": 131072,
        "reasoning": True,
    },
    {
        "type": "llm",
        "modelKey": "qwen/qwen3-8b",
        "format": "gguf",
        "displayName": "Qwen3 8B",
        "publisher": "qwen",
        "path": "lmstudio-community/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf",
        "sizeBytes": 5_027_783_488,
        "paramsString": "8B",
        "architecture": "qwen3",
        "trainedForToolUse": True,
        "maxContextLength": 32768,
        "reasoning": True,
    },
)
