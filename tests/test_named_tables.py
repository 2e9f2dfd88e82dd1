"""Tables that the user names, such as `[models."qwen/qwen3-8b"]`, from every source, and mistakes in them."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmgateway.cli import main
from lmgateway.cli.options import command_line
from lmgateway.config import LMStudio, ModelProfile, Table
from lmgateway.errors import ConfigError
from lmgateway.schema.models import DefaultInference, Gpu, LoadConfig
from lmgateway.settings import paths
from lmgateway.settings.collector import Collector
from lmgateway.settings.source import Source, Trust
from lmgateway.settings.tree import MAX_NAME, branch_of, is_name
from tests.support.properties import checked
from tests.support.sources import Sources

KEY = "qwen/qwen3-8b"
INLINE = """
[models."qwen/qwen3-8b"]
load = { contextLength = 8192, flashAttention = true, gpu = { ratio = 0.5 } }
defaults = { temperature = 0.7, maxTokens = 500, stopStrings = ["a", "b,c"] }
"""
SPREAD = """
[models.'qwen/qwen3-8b'.load]
contextLength = 8192
flashAttention = true
gpu.ratio = 0.5
[models."qwen\\u002fqwen3-8b".defaults]
temperature = 0.7
maxTokens = 500
stopStrings = ["a", "b,c"]
"""
PROFILE = ModelProfile(
    load=LoadConfig(context_length=8192, flash_attention=True, gpu=Gpu(ratio=0.5)),
    defaults=DefaultInference(temperature=0.7, max_tokens=500, stop_strings=("a", "b,c")),
)
ODD_NAMES = ["a.b", 'a"b', "a'b", "a\\b", "a=b", "a b", "#", "[a]", "ü", "模型", "😀", '"""', "x" * MAX_NAME]
names = st.text(max_size=MAX_NAME).filter(is_name)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def assigned(*assignments: str) -> Mapping[str, str]:
    """What `--set` makes of them."""
    return command_line(argparse.Namespace(set=assignments))


@pytest.mark.parametrize("toml", [INLINE, SPREAD], ids=["inline", "sub-tables"])
def test_a_table_is_read_however_toml_writes_it(sources: Sources, toml: str) -> None:
    """The field names are those of the API, and the name is any text."""
    assert sources.load(toml).config.models == {KEY: PROFILE}


def test_a_table_without_settings_is_there(sources: Sources) -> None:
    """An empty `load` isn't a setting: an admin's load is as without it."""
    assert sources.load("[models.a]\nload = {}").config.models == {"a": ModelProfile(load=None)}


def test_nothing_is_named_by_default(sources: Sources) -> None:
    loaded = sources.load()
    assert loaded.config.models == {}
    assert not [path for path in loaded.origins if path.startswith("models")]


LOAD, DEFAULTS = f'models."{KEY}".load', f'models."{KEY}".defaults'
TEXTS = [
    (f"{LOAD}.contextLength=8192", LoadConfig(context_length=8192)),
    (f"{LOAD}.contextLength = 8192.0", LoadConfig(context_length=8192)),
    (" models . 'qwen/qwen3-8b' . load . seed=-1", LoadConfig(seed=-1)),
    (f"{LOAD}.flashAttention=TRUE", LoadConfig(flash_attention=True)),
    (f"{LOAD}.parallel=2", LoadConfig(parallel=2)),
    (f"{LOAD}.useUnifiedKvCache=false", LoadConfig(use_unified_kv_cache=False)),
    (f"{LOAD}.gpu.ratio=0.5", LoadConfig(gpu=Gpu(ratio=0.5))),
    (f"{LOAD}.gpu.ratio=Max", LoadConfig(gpu=Gpu(ratio="max"))),
    (f"{LOAD}.gpu.splitStrategy=favormaingpu", LoadConfig(gpu=Gpu(split_strategy="favorMainGpu"))),
    (f"{LOAD}.gpu.disabledGpus=1, 2", LoadConfig(gpu=Gpu(disabled_gpus=(1, 2)))),
    (f"{LOAD}.offloadKVCacheToGpu=0", LoadConfig(offload_kv_cache_to_gpu=False)),
    (f"{LOAD}.llamaKCacheQuantizationType=q8_0", LoadConfig(llama_k_cache_quantization_type="q8_0")),
    (f"{LOAD}.llamaKCacheQuantizationType=false", LoadConfig(llama_k_cache_quantization_type=False)),
    (f"{DEFAULTS}.temperature=0", DefaultInference(temperature=0)),
    (f"{DEFAULTS}.stopStrings=</s>,a=b", DefaultInference(stop_strings=("</s>", "a=b"))),
]


@pytest.mark.parametrize(("assignment", "expected"), TEXTS, ids=[text for text, _ in TEXTS])
def test_the_command_line_sets_a_leaf(
    sources: Sources, assignment: str, expected: LoadConfig | DefaultInference
) -> None:
    """The path is a dotted key of TOML's; the value is as lenient as that of other settings."""
    profile = sources.load(cli=assigned(assignment)).config.models[KEY]
    assert (profile.load if isinstance(expected, LoadConfig) else profile.defaults) == expected


def test_a_stronger_source_replaces_a_leaf_and_nothing_beside_it(sources: Sources) -> None:
    """The origin of each leaf is known; of two options for one leaf the last one counts."""
    options = (f"{LOAD}.gpu.ratio=1", f"models.'{KEY}'.load.gpu.ratio=0.25", f"{LOAD}.seed=1")
    loaded = sources.load(INLINE, cli=assigned(*options))
    load = LoadConfig(context_length=8192, flash_attention=True, gpu=Gpu(ratio=0.25), seed=1)
    assert loaded.config.models[KEY] == ModelProfile(load=load, defaults=PROFILE.defaults)
    origins = {path.removeprefix(f"{LOAD}."): origin for path, origin in loaded.origins.items()}
    assert origins["gpu.ratio"] == origins["seed"] == "command line"
    assert origins["contextLength"] == str(sources.file)


def test_check_shows_each_leaf_that_is_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, as TOML writes it, with its source; the tables in order."""
    file = tmp_path / "config.toml"
    file.write_text(f"{INLINE}[models.a.load]\nseed = 1")
    assert main(["check", "--config", str(file), "--set", f"{LOAD}.gpu.mainGpu=1"]) == 0
    lines = [line.split("  # ") for line in capsys.readouterr().out.splitlines() if line[:7] == "models."]
    assert [(shown.rstrip(), origin) for shown, origin in lines] == [
        ("models.a.load.seed = 1", str(file)),
        (f"{DEFAULTS}.maxTokens = 500", str(file)),
        (f'{DEFAULTS}.stopStrings = ["a","b,c"]', str(file)),
        (f"{DEFAULTS}.temperature = 0.7", str(file)),
        (f"{LOAD}.contextLength = 8192", str(file)),
        (f"{LOAD}.flashAttention = true", str(file)),
        (f"{LOAD}.gpu.mainGpu = 1", "command line"),
        (f"{LOAD}.gpu.ratio = 0.5", str(file)),
    ]


WHOLE = "expected a whole number"
RATIO = "expected a number from 0 to 1, max or off"
CACHE = "expected f32, f16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1, true or false"
NAME = "invalid name, expected 1 to 200 printable characters without outer spaces"
IS_TABLE = "is a table: write its settings below [models.{}.load]"
FORBIDDEN_VALUES = [
    ("load.contextLength", '"8"', f"{WHOLE} above 0"),
    ("load.contextLength", "0", f"{WHOLE} above 0"),
    ("load.contextLength", "8192.0", f"{WHOLE} above 0"),
    ("load.contextLength", "{}", f"{WHOLE} above 0"),
    ("load.evalBatchSize", "true", f"{WHOLE} from 1 up"),
    ("load.seed", "1.5", WHOLE),
    ("load.ropeFrequencyBase", "inf", "expected a number above 0"),
    ("load.flashAttention", "1", "expected true or false"),
    ("load.llamaKCacheQuantizationType", "4", CACHE),
    ("load.gpu.ratio", "1.5", RATIO),
    ("load.gpu.ratio", '"most"', RATIO),
    ("load.gpu.disabledGpus", "[0, -1]", "expected a list of whole numbers from 0 up"),
    ("defaults.topP", "nan", "expected a number from 0 to 1"),
    ("defaults.temperature", "3", "expected a number from 0 to 2"),
    ("defaults.stopStrings", "[1]", "expected a list of texts"),
]
MISTAKES = [
    *((path, value, f"invalid value {value}, {allowed}") for path, value, allowed in FORBIDDEN_VALUES),
    ("laod", "{}", "no such setting; did you mean load?"),
    ("zzz", "{}", "no such setting; known are aliases, slots, context_guard, load, defaults"),
    ("load", "8192", IS_TABLE),
    ("load", "[]", IS_TABLE),
    ("load.contextLenght", "1", "no such setting; did you mean contextLength?"),
    ("load.context_length", "1", "no such setting; did you mean contextLength?"),
    ("load.gpu.ratoi", "1", "no such setting; did you mean ratio?"),
]


@pytest.mark.parametrize("name", ["a", f'"{KEY}"', '"a.b \\" ü"'])
@pytest.mark.parametrize(("path", "value", "message"), MISTAKES)
def test_a_mistake_names_its_whole_path(
    sources: Sources, name: str, path: str, value: str, message: str
) -> None:
    """With the value and what is allowed, and the name as TOML writes it."""
    [problem] = sources.problems(f"models.{name}.{path} = {value}")
    assert problem == f"config.toml: models.{name}.{path}: {message.replace('[models.{}', f'[models.{name}')}"


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("models = 1", "models: is a table: write its settings below [models.NAME]"),
        ("[[models]]", "models: is a table: write its settings below [models.NAME]"),
        ("[models]\na = 1", "models.a: is a table: write its settings below [models.a]"),
        ("[model.a]", "model: no such setting; did you mean models?"),
        ('[models.""]', f'models."": {NAME}'),
        ('[models." a"]', f'models." a": {NAME}'),
        ('[models."a\\n\\u200b\\u007f\\U000e0001"]', f'models."a\\n\\u200b\\u007f\\U000e0001": {NAME}'),
        (f"[models.{'x' * 201}]", f"models.{'x' * 201}: {NAME}"),
        ('"server.port" = 1', '"server.port": no such setting; did you mean server.port?'),
    ],
)
def test_a_mistake_about_the_tables_themselves(sources: Sources, toml: str, message: str) -> None:
    """A name must be readable and writable as text."""
    assert sources.problems(toml) == [f"config.toml: {message}"]


def test_all_mistakes_are_reported_at_once(sources: Sources) -> None:
    toml = f"[models.a]\nlaod = {{}}\nload = {{ seed = 1.5, gpu = {{ ratio = 2 }} }}\n[models.{'x' * 201}]"
    options = assigned("models.b.load.sede=1", "models.b.load.seed=x", "models.b=1", "models.b.load.seed.c=1")
    assert [problem.split(": ")[1] for problem in sources.problems(toml, cli=options)] == [
        *("models.a.laod", "models.a.load.seed", "models.a.load.gpu.ratio", f"models.{'x' * 201}"),
        *("models.b.load.sede", "models.b.load.seed", "models.b", "models.b.load.seed"),
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("null", '"null"'), ("", '""'), ("inf", '"inf"'), ("1e999", '"1e999"'), ("\udcff", '"\\udcff"')],
)
def test_text_that_is_no_value(sources: Sources, text: str, shown: str) -> None:
    """What JSON can't carry to LM Studio is no value either."""
    options = {f"{LOAD}.ropeFrequencyBase": text}
    expected = f"command line: {LOAD}.ropeFrequencyBase: invalid value {shown}, expected a number above 0"
    assert sources.problems(cli=options) == [expected]


def test_a_list_holds_only_text_that_can_be_sent(sources: Sources) -> None:
    [problem] = sources.problems(cli={f"{DEFAULTS}.stopStrings": "a,\udcff"})
    assert problem.endswith('invalid value "a,\\udcff", expected a list of texts')


@pytest.mark.parametrize(
    "assignment",
    [
        *("server.port", "=1", ".port=1", "server port=1", "[server]\nport=1", 'models."a=1', "# x=1", ""),
        *(f"models.{KEY}.load.seed=1", 'models."a\nb".load.seed=1'),
    ],
)
def test_a_malformed_assignment_is_refused_with_an_example(assignment: str) -> None:
    """Also where a shell removed the quotes. The value isn't repeated: it may be a secret."""
    with pytest.raises(ConfigError) as caught:
        assigned(assignment)
    [problem] = caught.value.problems
    assert problem.startswith(f"command line: --set {assignment.partition('=')[0]}: write SETTING=VALUE.")
    assert problem.endswith("""--set 'models."qwen/qwen3-8b".load.contextLength=8192'""")


@checked
@given(path=st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1).map(tuple))
def test_any_path_survives_being_written(path: tuple[str, ...]) -> None:
    """On one line, which a terminal shows as it is."""
    written = paths.write(path)
    assert written.isprintable()
    assert paths.parse(written) == path


def with_odd_names(test):  # type: ignore[no-untyped-def]
    for name in ODD_NAMES:
        test = example(name=name)(test)
    return test


@checked
@with_odd_names
@given(name=names)
def test_a_name_is_the_same_from_every_source(name: str) -> None:
    """What `check` shows can be given to --set, and written into the file."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Sources(Path(folder))
        written = paths.write(("models", name, "load", "seed"))
        by_option = sources.load(cli=assigned(f"{written}=7"))
        by_file = sources.load(f"{written} = 7")
        [problem] = sources.problems(cli=assigned(f"{written}=x"))
    assert by_option.config == by_file.config
    assert by_option.config.models == {name: ModelProfile(load=LoadConfig(seed=7))}
    [shown] = [path for path in by_option.origins if path.startswith("models.")]
    assert paths.split_assignment(f"{shown} = 7") == (("models", name, "load", "seed"), " 7")
    assert problem.startswith(f"command line: {written}: invalid value")


FILE = Source("file", Trust.COMMAND, Trust.COMMAND)


class Boxes(Table, frozen=True, kw_only=True):
    """A configuration whose named tables have environment variables and a secret elsewhere."""

    boxes: Mapping[str, LMStudio] = {}


def test_a_named_table_has_no_environment_variables_and_keeps_its_secrets() -> None:
    """A table of any type may be named: here one that is also a table of its own."""
    collector = Collector(root=branch_of(Boxes))
    collector.take_toml({"boxes": {"attic": {"api_token": "s3cret", "call_timeout_ms": 1}}}, FILE)
    assert collector.problems == []
    built = collector.build()
    assert isinstance(built, Boxes)
    assert built.boxes == {"attic": LMStudio(api_token="s3cret", call_timeout_ms=1)}
    settings = {path[-1]: value.setting for path, value in collector.values.items()}
    assert settings["call_timeout_ms"].env == ()
    assert settings["api_token"].show("s3cret") == '"********"'
    collector.take_command_line({"boxes.attic.api_token": "s3cret"})
    assert collector.problems == [
        "command line: boxes.attic.api_token: other users can see it here: set it in the file"
    ]
