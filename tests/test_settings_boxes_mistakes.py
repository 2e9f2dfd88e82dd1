"""What an administrator reads whose boxes are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from lmgateway.cli import main
from tests.support.sources import Sources

ATTIC = '[boxes.attic]\nbase_url = "http://attic.lan:1234"\n'
MOVE = (
    "lmstudio.base_url: can't be set beside [boxes], where each box has its own; remove it, or move it to "
    "[boxes.NAME]"
)
MISSING = 'has no base_url; write its LM Studio\'s, such as "http://192.168.1.20:1234"'
TABLE = "is a table: write its settings below"
BELOW = "boxes.base_url: write it below the name of one table: [boxes.NAME]"
NAME = "invalid name, expected 1 to 64 letters (a to z), digits, -, _ and ., beginning with a letter or digit"
MAC = "expected a MAC address such as 00:11:22:aa:bb:cc, or nothing"
PLACE = "expected an address or a host name, and a port if it isn't 9, such as 192.168.1.255:9"
TOKEN = "invalid value (not shown), expected text without control characters or outer spaces"
VISIBLE = "other users can see it here: set it in the file"


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


def box(name: str, address: str = "http://a:1") -> str:
    return f'[boxes."{name}"]\nbase_url = "{address}"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f'[lmstudio]\nbase_url = "http://a:1"\n{ATTIC}', f"config.toml: {MOVE}"),
        ("[boxes.attic]\n", f"boxes.attic: {MISSING}"),
        ('[boxes."a.b"]\napi_token = "t"\n', f'boxes."a.b": {MISSING}'),
        ("boxes = 1\n", f"config.toml: boxes: {TABLE} [boxes.NAME]"),
        ("[[boxes]]\n", f"config.toml: boxes: {TABLE} [boxes.NAME]"),
        ('[boxes]\nattic = "http://a:1"\n', f"config.toml: boxes.attic: {TABLE} [boxes.attic]"),
        ('[boxes]\nbase_url = "http://a:1"\n', f"config.toml: {BELOW}"),
        (
            f"{ATTIC}bas_url = 1\n",
            "config.toml: boxes.attic.bas_url: no such setting; did you mean base_url?",
        ),
        (f"{ATTIC}api_token = 5\n", f"config.toml: boxes.attic.api_token: {TOKEN}"),
    ],
)
def test_mistakes(sources: Sources, text: str, problem: str) -> None:
    """Each is one sentence that names the setting, and says what to do."""
    assert sources.problems(text) == [problem]


@pytest.mark.parametrize(
    ("cli", "problem"),
    [
        ({"lmstudio.base_url": "http://a:1"}, f"command line: {MOVE}"),
        ({"boxes.attic.api_token": "secret"}, f"command line: boxes.attic.api_token: {VISIBLE}"),
        ({"boxes.base_url": "http://a:1"}, f"command line: {BELOW}"),
        ({"boxes.attic": "http://a:1"}, f"command line: boxes.attic: {TABLE} [boxes.attic]"),
        ({"boxes.barn.wake_mac": ""}, f"boxes.barn: {MISSING}"),
    ],
)
def test_mistakes_on_the_command_line(sources: Sources, cli: Mapping[str, str], problem: str) -> None:
    assert sources.problems(ATTIC, cli=cli) == [problem]


def test_all_mistakes_of_the_boxes_are_said_at_once(sources: Sources) -> None:
    """Also the file's address where a variable overrides it: it would come up when the variable goes."""
    problems = sources.problems(
        f'[lmstudio]\nbase_url = "http://a:1"\n[boxes.attic]\n[boxes.cellar]\n{box("a")}{box("b")}',
        env={"LMSTUDIO_BASE_URL": "http://b:1"},
        cli={"lmstudio.base_url": "http://c:1"},
    )
    starts = [
        "config.toml: lmst",
        "command line: lmst",
        "boxes.attic: has",
        "boxes.cellar: has",
        "boxes.a.base_url",
    ]
    assert [problem[: len(start)] for problem, start in zip(problems, starts, strict=True)] == starts


def test_a_mistake_ends_a_command_with_the_status_of_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[boxes.attic]\n")
    assert main(["check", "--config", str(file)]) == 78
    assert capsys.readouterr().err == f"lmgateway: boxes.attic: {MISSING}\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", '""'),
        ("-a", "-a"),
        (".", '"."'),
        ("..", '".."'),
        ("a b", '"a b"'),
        ("a/b", '"a/b"'),
        ("(outside)", '"(outside)"'),
        ("ü", '"ü"'),
        ("a\\n", '"a\\n"'),
        ("x" * 65, "x" * 65),
    ],
)
def test_a_name_that_no_path_or_label_may_have(sources: Sources, name: str, shown: str) -> None:
    assert sources.problems(box(name)) == [f"config.toml: boxes.{shown}: {NAME}"]


@pytest.mark.parametrize("name", ["a", "A.b", "9", "x" * 64, "my-box_2.lan", "lmstudio", "base_url"])
def test_names(sources: Sources, name: str) -> None:
    assert list(sources.load(box(name)).config.boxes) == [name]


@pytest.mark.parametrize(
    "mac",
    [
        "00:11:22:aa:bb",
        "00:11:22:aa:bb:cc:dd",
        "00:11-22:aa-bb:cc",
        "00:11:22:aa:bb:cg",
        "0:11:22:aa:bb:cc",
        "001122aabbc",
        "0011.22aa.bbcc",
        "attic.lan",
    ],
)
def test_no_mac_address(sources: Sources, mac: str) -> None:
    """Of one card: six bytes, all with the same separator or none."""
    expected = f'config.toml: boxes.attic.wake_mac: invalid value "{mac}", {MAC}'
    assert sources.problems(f'{ATTIC}wake_mac = "{mac}"\n') == [expected]
    [problem] = sources.problems("", env={"LMSTUDIO_WAKE_MAC": mac})
    assert problem == f'environment: LMSTUDIO_WAKE_MAC: invalid value "{mac}", {MAC}'


@pytest.mark.parametrize("mac", ["00:11:22:aa:bb:cc", "00-11-22-AA-bb-CC", "001122aabbcc", ""])
def test_mac_addresses(sources: Sources, mac: str) -> None:
    """As the systems show them."""
    assert sources.load(f'{ATTIC}wake_mac = " {mac}"\n').config.boxes["attic"].wake_mac == mac


@pytest.mark.parametrize(
    "place",
    ["", "a b", "a:0", "a:65536", "a:99999", "a:9x", "a:", ":9", "fe80::1", "[fe80::1", "http://a:9"],
)
def test_no_address_for_a_packet(sources: Sources, place: str) -> None:
    """Otherwise it would fail when a request needs the box."""
    expected = f'config.toml: boxes.attic.wake_address: invalid value "{place}", {PLACE}'
    assert sources.problems(f'{ATTIC}wake_address = "{place}"\n') == [expected]


@pytest.mark.parametrize(
    "place", ["192.168.1.255", "192.168.1.255:65535", "attic.lan:7", "[fe80::1]:9", "[ff02::1]"]
)
def test_addresses_for_a_packet(sources: Sources, place: str) -> None:
    loaded = sources.load(f'{ATTIC}wake_address = "{place}"\n')
    assert loaded.config.boxes["attic"].wake_address == place


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h:1234", "http://h:1234"),
        ("http://h:1234", "http://H:1234/"),
        ("http://h:1234", "http://h.:1234"),
        ("http://h:1234", "https://h:1234"),
        ("http://h", "http://h:80"),
        ("https://h/x", "https://h:443/x/"),
        ("http://127.0.0.1:1234", "http://localhost:1234"),
        ("http://[::1]:1234", "http://LOCALHOST:1234"),
        ("http://127.0.0.1:1234", "http://[::1]:1234"),
        ("http://0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("http://[::ffff:10.0.0.1]:1", "http://10.0.0.1:1"),
        ("http://[fe80:0:0::1]:1", "http://[fe80::1]:1"),
    ],
)
def test_two_boxes_with_one_address(sources: Sources, one: str, other: str) -> None:
    """Their requests and models would be counted twice, however the address is written."""
    [problem] = sources.problems(box("a", one) + box("b", "http://other:1") + box("c", other))
    assert problem.startswith("boxes.a.base_url and boxes.c.base_url: both are the LM Studio at http")
    assert problem.endswith("; remove one of the two boxes")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h:1234", "http://h:1235"),
        ("http://h:1234", "http://i:1234"),
        ("http://h/one", "http://h/two"),
        ("http://127.0.0.1:1234", "http://127.0.0.2:1234"),
        ("http://h", "https://h"),
        ("http://[fe80::1%25eth0]:1", "http://[fe80::1%25eth1]:1"),
    ],
)
def test_two_boxes_with_different_addresses(sources: Sources, one: str, other: str) -> None:
    assert list(sources.load(box("a", one) + box("b", other)).config.boxes) == ["a", "b"]
