"""Keys that can be guessed, secrets that can be read, certificates that aren't there."""

from __future__ import annotations

import pytest

from lmgateway.cli.doctor.configuration import examine
from tests.cli.doctor.conftest import KEY, Patient, messages


@pytest.mark.parametrize(
    ("auth", "network", "level", "message"),
    [
        (
            {"api_key": "short"},
            {},
            "warning",
            "The key (auth.api_key) has only 5 characters, so it can be guessed.",
        ),
        ({"api_key": ""}, {}, "note", "There is no key, and network.ip_allowlist isn't set, so only"),
        (
            {"api_key": ""},
            {"ip_allowlist": ["::1"]},
            "warning",
            "There is no key, so every client",
        ),
    ],
)
def test_keys(
    patient: Patient, auth: dict[str, object], network: dict[str, object], level: str, message: str
) -> None:
    """None at all, or one that is no hindrance."""
    patient.configure(auth=auth, network=network)
    (_, finding) = examine(patient.load())
    assert (finding.level, finding.message[: len(message)]) == (level, message)
    assert "`lmgateway init`" in finding.remedy


@pytest.mark.parametrize("network", [{}, {"ip_allowlist": ["*"]}])
def test_named_keys_are_keys_too(patient: Patient, network: dict[str, object]) -> None:
    """They end protected mode, and nobody has all rights."""
    patient.configure(auth={"api_key": ""}, network=network)
    assert [finding.level for finding in examine(patient.load(), has_named_keys=True)] == ["ok"]


@pytest.mark.parametrize("name", ["config.toml", ".env"])
@pytest.mark.parametrize(("mode", "level"), [(0o644, "problem"), (0o640, "note"), (0o600, None)])
def test_files_that_hold_a_secret(patient: Patient, name: str, mode: int, level: str | None) -> None:
    """Are for their owner alone."""
    file = patient.file.with_name(name)
    if name == ".env":
        patient.configure(auth={"api_key": ""})
        patient.file.chmod(0o644)
        file.write_text(f"GATEWAY_API_KEY='{KEY}'\n")
    file.chmod(mode)
    (_, *findings) = examine(patient.load())
    assert [finding.level for finding in findings] == ([level] if level else [])
    assert all(finding.remedy in {f"chmod 600 {file}", f"chmod 600 {name}"} for finding in findings)


def test_files_without_a_secret_may_be_read(patient: Patient) -> None:
    """As /etc/lmgateway/config.toml may, beside a unit that hands over the key."""
    patient.configure(auth={"api_key": ""})
    patient.file.chmod(0o644)
    assert [finding.level for finding in examine(patient.load(GATEWAY_API_KEY=KEY))] == ["ok"]


def test_a_key_that_not_everybody_can_send(patient: Patient) -> None:
    """curl can; a library that wants ASCII can't."""
    patient.configure(auth={"api_key": "schl\u00fcssel-schl\u00fcssel"})
    (_, finding) = messages(examine(patient.load()))
    assert finding == (
        "warning",
        "The key (auth.api_key) isn't ASCII, so some clients, such as OpenAI's library, can't send it.",
    )


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, None),
        ({"log_dir": "."}, None),
        ({"log_dir": "nowhere"}, "nowhere isn't a folder"),
        ({"base_url": "https://127.0.0.1:9"}, "can't come over its SDK"),
        ({"base_url": "http://127.0.0.1:9/studio"}, "can't come over its SDK"),
    ],
)
def test_a_log_that_cant_be_followed(
    patient: Patient, settings: dict[str, object], problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Monitoring is on, but there would be no events. LM Studio's own folder is suggested, if it is there."""
    monkeypatch.setenv("HOME", str(patient.folder))
    patient.configure(lmstudio={"log_monitoring": True, **settings})
    (_, *findings) = examine(patient.load())
    assert [finding.level for finding in findings] == (["warning"] if problem else [])
    assert all(problem is not None and problem in finding.message for finding in findings)
    general = "Set lmstudio.log_dir to LM Studio's folder of server logs, which has a folder for each month."
    assert all(finding.remedy == general for finding in findings)
    logs = patient.folder / ".lmstudio" / "server-logs"
    logs.mkdir(parents=True)
    (_, *findings) = examine(patient.load())
    assert all(finding.remedy == f"Set lmstudio.log_dir to {logs}." for finding in findings)


def test_certificate(patient: Patient) -> None:
    """One that can't be read would stop the start."""
    patient.configure(server={"tls_cert": "no.pem", "tls_key": "no.pem"})
    (_, finding) = messages(examine(patient.load()))
    assert finding == ("problem", "server.tls_cert: no.pem can't be read: No such file or directory")
