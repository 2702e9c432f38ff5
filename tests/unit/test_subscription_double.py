"""The double of subscription-manager answers as the real one did in recordings."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

from tests.unit.samples import ROOT, certified

FOLDER = ROOT / "tests" / "machine" / "subscription"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Recorded commands that Quaylab doesn't use, and tables of pools and products.
LEFT_OUT = re.compile(
    r"^(syspurpose|orgs|remove|repo-override|environments|identity --regenerate|list$"
    r"|attach( --auto.*)?$|list --(available --matches \*Employee\*|consumed)$)"
)


@dataclass(frozen=True)
class Call:
    """A call and its result, with placeholders for what differs between any two systems."""

    words: str
    stdout: list[str]
    stderr: list[str]
    code: int


def _recorded(version: str) -> list[Call]:
    calls = []
    for block in (FOLDER / f"{version}.txt").read_text().split("\n$ subscription-manager "):
        first, *lines = block.removeprefix("$ subscription-manager ").splitlines()
        parts = [line.partition("| ") for line in lines]
        streams = {"out": list[str](), "ERR": list[str]()}
        code = None
        for stream, bar, text in parts:
            if bar or stream.strip().endswith("|"):
                streams[stream.strip().rstrip("|")].append(text)
            elif stream.strip():
                code = int(stream.strip().removeprefix("rc="))
        assert code is not None
        calls.append(Call(first, _equal(streams["out"]), _equal(streams["ERR"]), code))
    return calls


def _equal(lines: list[str]) -> list[str]:
    """Return sorted lines, with placeholders for names, ids and the client's version."""
    texts = (UUID.sub("UUID", line.rstrip()) for line in lines)
    named = (
        re.sub(r"^((The registered system )?name( is)?: ).*", r"\1NAME", text) for text in texts
    )
    return sorted(
        re.sub(r"^(subscription-manager: ).*", r"\1VERSION", text) for text in named if text
    )


@pytest.fixture(scope="module")
def double() -> ModuleType:
    """The executable as a module: a process for each call would take a minute."""
    loader = SourceFileLoader("double", str(FOLDER / "subscription-manager"))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module


def _play(double: ModuleType, call: Call) -> Call:
    out, err = io.StringIO(), io.StringIO()
    # The recording has no quotes; no word of a replayed call has a blank.
    with (
        mock.patch.object(sys, "argv", ["subscription-manager", *call.words.split()]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            code = double.main()
        except SystemExit as ended:
            code = ended.code
    stdout, stderr = out.getvalue().splitlines(), err.getvalue().splitlines()
    return Call(call.words, _equal(stdout), _equal(stderr), code)


@pytest.mark.parametrize(
    ("recording", "version", "played"), [("1.29", "1.29.54", 60), ("1.30", "1.30.15", 30)]
)
def test_double_answers_as_recorded(
    double: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recording: str,
    version: str,
    played: int,
) -> None:
    state = tmp_path / "state.json"
    servers: dict[str, object] = {"localhost:8443/candlepin": {}}
    state.write_text(json.dumps({"version": version, "servers": servers}))
    monkeypatch.setattr(double, "STATE", state)
    monkeypatch.setattr(double, "ROOT", tmp_path)
    monkeypatch.setenv("SUBSCRIPTION_DOUBLE", str(state))  # so that it doesn't require root
    calls = [call for call in _recorded(recording) if not LEFT_OUT.match(call.words)]
    assert len(calls) >= played
    for number, call in enumerate(calls):
        assert _play(double, call) == call, f"call {number}: {call.words}"


# Answers of the real 1.29.54 and 1.30.15, registered with a server that has a private CA.
HERE = "localhost:8443/candlepin"
ID = "1b6e5464-0001-4351-90c5-4852b4548a65"
NOT_YET = (
    "This system is not yet registered. Try 'subscription-manager register --help' for more "
    "information."
)
REFUSED = "Connection error: Connection refused (error code 111)"
UNVERIFIED = (
    "Unable to verify server's identity: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
    "failed: unable to get local issuer certificate (_ssl.c:1029)"
)
CORRUPTED = "System certificates corrupted. Please reregister."
UNKNOWN = f'Unit with ID "{ID}" could not be found. (HTTP error code 404: Not Found)'
DELETED = (
    f'Consumer profile "{ID}" has been deleted from the server. You can use command clean or '
    "unregister to remove local profile."
)
DAMAGED = "Consumer identity either does not exist or is corrupted. Try register --help"
NETWORK = (
    "Network error, unable to connect to server. Please see /var/log/rhsm/rhsm.log for more "
    "information."
)
NO_KEY = "Unable to verify server's identity: [SSL] PEM lib (_ssl.c:4114)"
ALREADY = "This system is already registered. Use --force to override"
REGISTER = "register --org=sca --activationkey=sca-key"
TO_HERE = f"{REGISTER} --serverurl=https://{HERE}"


def _registered(root: Path) -> None:
    """Write the files of a registered client."""
    for name, text in {
        "pki/consumer/cert.pem": f"-----BEGIN CERTIFICATE-----\n{ID}\n-----END CERTIFICATE-----\n",
        "pki/consumer/key.pem": f"-----BEGIN PRIVATE KEY-----\n{ID}\n-----END PRIVATE KEY-----\n",
        "rhsm/rhsm.conf": "[server]\nhostname=localhost\nport=8443\nprefix=/candlepin\n",
    }.items():
        path = root / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("case", "answers"),
    [
        ("ca", {"identity": (70, UNVERIFIED), "release": (70, CORRUPTED), TO_HERE: (78, None)}),
        ("ca", {"unregister": (70, UNVERIFIED), "refresh": (70, CORRUPTED)}),
        (
            "down",
            {"identity": (70, REFUSED), "release": (70, REFUSED), "unregister": (70, REFUSED)},
        ),
        ("404", {"identity": (70, UNKNOWN), "release": (70, UNKNOWN), "unregister": (70, UNKNOWN)}),
        ("404", {REGISTER: (64, ALREADY), f"{REGISTER} --force": (70, UNKNOWN), "clean": (0, "")}),
        ("410", {"identity": (69, DELETED), "release": (69, DELETED), "unregister": (0, "")}),
        ("key.pem", {"identity": (1, NOT_YET), "release": (1, NOT_YET), REGISTER: (70, NETWORK)}),
        ("cert.pem", {"identity": (1, NOT_YET), "release": (1, NOT_YET), REGISTER: (0, "")}),
        ("cert.pem 40", {"identity": (65, DAMAGED), "release": (65, DAMAGED)}),
        ("cert.pem 0", {"unregister": (1, "This system is currently not registered.")}),
        (
            "key.pem 0",
            {"identity": (70, NO_KEY), "release": (70, CORRUPTED), REGISTER: (64, ALREADY)},
        ),
    ],
)
def test_double_fails_as_the_real_ones(
    double: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    answers: dict[str, tuple[int, str | None]],
) -> None:
    consumer = {"name": "x", "org": "sca", "pools": [], "overrides": {}, "release": ""}
    server = {
        "ca": certified().ca_certificate if case == "ca" else None,
        "consumers": {} if case in ("404", "410") else {ID: consumer},
        "deleted": [ID] if case == "410" else [],
        "faults": ["down"] if case == "down" else [],
    }
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"version": "1.29.54-1", "servers": {HERE: server}}))
    monkeypatch.setattr(double, "STATE", state)
    monkeypatch.setattr(double, "ROOT", tmp_path)
    monkeypatch.setenv("SUBSCRIPTION_DOUBLE", str(state))
    _registered(tmp_path)
    name, _, length = case.partition(" ")
    damaged = tmp_path / "etc/pki/consumer" / name
    if length:
        os.truncate(damaged, int(length))
    elif damaged.is_file():
        damaged.unlink()
    for words, (code, stderr) in answers.items():
        played = _play(double, Call(words, [], [], 0))
        assert played.code == code, words
        if stderr is not None:
            assert played.stderr == _equal([stderr] if stderr else []), words


ELSEWHERE = "satellite.example.com:443/rhsm"


@pytest.fixture
def new(double: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a client that is not registered."""
    state = tmp_path / "state.json"
    monkeypatch.setattr(double, "STATE", state)
    monkeypatch.setattr(double, "ROOT", tmp_path)
    monkeypatch.setenv("SUBSCRIPTION_DOUBLE", str(state))
    return tmp_path


@pytest.mark.parametrize(
    ("fault", "code", "has_certificate"),
    [
        ("refuses", 70, False),
        ("suspended", 70, False),
        ("kills before", 137, False),
        ("fails", 70, True),
        ("kills after", 137, True),
        (None, 0, True),
    ],
)
def test_the_server_is_saved_only_by_a_registration_that_succeeds(
    double: ModuleType,
    new: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str | None,
    code: int,
    has_certificate: bool,
) -> None:
    """Even if the host has its certificate already."""

    def kill(process: int, number: int) -> None:
        raise SystemExit(128 + number)

    monkeypatch.setattr(double.os, "kill", kill)
    servers = {ELSEWHERE: {"faults": [fault] if fault else []}}
    (new / "state.json").write_text(json.dumps({"version": "1.29.54-1", "servers": servers}))
    played = _play(double, Call(f"{REGISTER} --serverurl=https://{ELSEWHERE}", [], [], 0))
    assert played.code == code
    assert (new / "etc/pki/consumer/cert.pem").exists() is has_certificate
    assert (new / "etc/rhsm/rhsm.conf").exists() is (code == 0)


def test_a_key_without_a_pool_ends_in_1_and_the_host_is_registered(
    double: ModuleType, new: Path
) -> None:
    servers: dict[str, object] = {ELSEWHERE: {}}
    (new / "state.json").write_text(json.dumps({"version": "1.29.54-1", "servers": servers}))
    words = f"register --org=acme --activationkey=bare-key --serverurl=https://{ELSEWHERE}"
    played = _play(double, Call(words, [], [], 0))
    assert (played.code, played.stderr) == (1, [])
    assert "Unable to find available subscriptions" in "".join(played.stdout)
    assert UUID.search((new / "etc/pki/consumer/cert.pem").read_text())
    assert "satellite.example.com" in (new / "etc/rhsm/rhsm.conf").read_text()
