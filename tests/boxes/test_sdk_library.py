"""What the gateway expects of the installed SDK."""

from __future__ import annotations

import lmstudio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lmstudio import _ws_impl
from lmstudio.json_api import LMStudioServerError, LMStudioWebsocketError

from lmgateway.boxes.sdk import library as sdk
from lmgateway.boxes.sdk import transport
from lmgateway.errors import BadRequest, GatewayError, LinkLost, ModelNotFound, OutOfMemory, StudioFailed
from lmgateway.schema.common import ModelType
from lmgateway.schema.models import Gpu, LoadConfig
from tests.support.properties import checked, odd_json


def names(kind: type) -> set[str]:
    return {info.encode_name for info in msgspec.structs.fields(kind)}


def test_every_setting_of_the_sdk_can_be_sent() -> None:
    """A new release's load settings are missing here until somebody adds them."""
    ours = names(LoadConfig)
    sdks = names(lmstudio.LlmLoadModelConfig) | names(lmstudio.EmbeddingLoadModelConfig)
    assert sdks == ours - {"cpuThreads", "parallel", "useUnifiedKvCache"}
    assert names(sdk.GpuSetting) == names(Gpu) - {"layers"}


@pytest.mark.parametrize("kind", ["llm", "embedding"])
def test_the_document_says_which_types_of_models_have_a_setting(kind: ModelType) -> None:
    """The dashboard offers only those, and offers apart what LM Studio has for no type."""
    _, schemas = msgspec.json.schema_components([LoadConfig])
    for name, part in (("LoadConfig", "{}"), ("Gpu", "gpu.{}")):
        for field, schema in schemas[name]["properties"].items():
            if field == "gpu":
                continue
            config = {"gpu": {field: 1}} if name == "Gpu" else {field: 1}
            types = schema.get("x-types", ("llm", "embedding"))
            ignored = f"loadConfig.{part.format(field)}" in sdk.split_config(config, kind)[1]
            assert ignored == (kind not in types), field
            assert (schema.get("x-group") == "Ignored by LM Studio") == (not types), field
            assert schema["title"], field


def test_the_sdk_connects_as_it_is_told() -> None:
    """Without this, proxies of the environment apply again and connecting stalls the event loop."""
    assert _ws_impl.aconnect_ws is transport.connect


@pytest.mark.parametrize(
    ("config", "kind", "known", "ignored"),
    [
        ({}, "llm", {}, ()),
        ({"contextLength": 1}, "llm", {"contextLength": 1}, ()),
        ({"cpuThreads": 4}, "llm", {}, ("loadConfig.cpuThreads",)),
        ({"gpu": {"layers": 3}}, "llm", {}, ("loadConfig.gpu.layers",)),
        ({"gpu": {"layers": 3, "ratio": 0.5}}, "llm", {"gpu": {"ratio": 0.5}}, ("loadConfig.gpu.layers",)),
        (
            {"flashAttention": True, "tryMmap": True},
            "embedding",
            {"tryMmap": True},
            ("loadConfig.flashAttention",),
        ),
        (
            {"parallel": 2, "useUnifiedKvCache": False},
            "llm",
            {"parallel": 2, "useUnifiedKvCache": False},
            (),
        ),
        (
            {"parallel": 2, "useUnifiedKvCache": False},
            "embedding",
            {},
            ("loadConfig.parallel", "loadConfig.useUnifiedKvCache"),
        ),
    ],
)
def test_settings_that_lm_studio_lacks_are_named(
    config: dict[str, object], kind: ModelType, known: dict[str, object], ignored: tuple[str, ...]
) -> None:
    """The SDK drops them silently; the gateway's answer names them."""
    assert sdk.split_config(config, kind) == (known, ignored)


def server_error(**fields: object) -> LMStudioServerError:
    return LMStudioServerError.from_details(
        "RPC error", {"title": "A title", "rootTitle": "A title", **fields}
    )


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (server_error(displayData={"code": "generic.pathNotFound"}), ModelNotFound, "A title."),
        (server_error(displayData={"code": "generic.identifierNotFound"}), ModelNotFound, "A title."),
        (server_error(displayData={"code": "generic.noModelMatchingQuery"}), ModelNotFound, "A title."),
        (server_error(displayData={"code": "generic.specificModelUnloaded"}), ModelNotFound, "A title."),
        (server_error(displayData={"code": "generic.domainMismatch"}), BadRequest, "A title."),
        (
            server_error(cause="Not enough\n memory!", suggestion="Buy more"),
            OutOfMemory,
            "A title. Not enough memory! Buy more.",
        ),
        (server_error(cause="The program is broken"), StudioFailed, "A title. The program is broken."),
        (server_error(displayData={"code": "news"}, cause="memory"), StudioFailed, "A title. memory."),
        (server_error(displayData="odd"), StudioFailed, "A title."),
        (LMStudioServerError("closed"), StudioFailed, "LM Studio failed without giving a reason"),
        (LMStudioWebsocketError("gone"), LinkLost, "The connection to LM Studio was lost"),
    ],
)
def test_errors_are_decided_by_their_code(
    error: lmstudio.LMStudioError, kind: type[GatewayError], sentence: str
) -> None:
    """Titles are for people and change; a code doesn't. Never more than one line."""
    translated = sdk.translate(error)
    assert type(translated) is kind
    assert translated.message.startswith(sentence)
    assert "\n" not in translated.message


GUARDRAIL = (
    "Model loading was stopped due to insufficient system resources. Under the current settings, this model "
    "requires approximately 14.36 GB of memory, and continuing to load it would likely overload your system "
    "and cause it to freeze. If you think this is incorrect, you can adjust the model loading guardrails in "
    "settings."
)


@pytest.mark.parametrize(
    "details",
    [
        {"title": GUARDRAIL},
        {"title": "Model loading aborted due to insufficient system resources. Overloading the system …"},
        {"cause": GUARDRAIL},
        {"cause": "error loading model: unable to allocate CUDA0 buffer"},
        {"cause": "error loading model: unable to allocate Vulkan0 buffer"},
        {"cause": "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory"},
        {"cause": "cudaMalloc failed: out of memory"},
        {"cause": "Command buffer execution failed: Insufficient Memory (kIOGPUCommandBufferCallbackError…)"},
    ],
)
def test_out_of_memory_in_the_words_of_lm_studio_and_its_engines(details: dict[str, object]) -> None:
    """None of them has a code. LM Studio's own refusal is the title, and has no cause."""
    assert type(sdk.translate(server_error(**details))) is OutOfMemory


@pytest.mark.parametrize(
    "details",
    [
        {"title": 'Model loading failed: the identifier "memory" is already in use'},
        {"cause": "Error loading model. (Exit code: null). Please check settings and try again."},
        {"cause": "No LM Runtime found for model format 'torchSafetensors'!"},
        {"cause": "Attempt to pull a snapshot of system resources failed."},
        {"cause": "Cannot read the programs of the frame"},
    ],
)
def test_other_failures_of_a_load_are_not_for_lack_of_memory(details: dict[str, object]) -> None:
    assert type(sdk.translate(server_error(**details))) is StudioFailed


fields = st.sampled_from(["title", "rootTitle", "cause", "suggestion", "displayData", "stack"])


@checked
@given(st.dictionaries(fields, odd_json | st.dictionaries(st.just("code"), odd_json)))
def test_any_error_is_a_sentence(details: dict[str, object]) -> None:
    """Whatever LM Studio sends for one; it can be encoded, and has an end."""
    translated = sdk.translate(LMStudioServerError.from_details("RPC error", details))
    assert isinstance(translated, StudioFailed)
    assert len(msgspec.json.encode(translated.message)) < 20_000
