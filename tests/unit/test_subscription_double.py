"""The double of subscription-manager says what the real one was recorded to say."""

from __future__ import annotations

import io
import json
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

from tests.unit.samples import ROOT

FOLDER = ROOT / "tests" / "machine" / "subscription"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What nothing here asks for: other commands, and tables of pools and products.
LEFT_OUT = re.compile(
    r"^(syspurpose|orgs|remove|repo-override|environments|identity --regenerate|list$"
    r"|attach( --auto.*)?$|list --(available --matches \*Employee\*|consumed)$)"
)


@dataclass(frozen=True)
class Call:
    """A call and what came of it, with what differs between any two systems made equal."""

    words: str
    stdout: list[str]
    stderr: list[str]
    code: int


def _recorded(version: str) -> list[Call]:
    calls = []
    for block in (FOLDER / f"{version}.txt").read_text().split("\n$ subscription-manager "):
        first, *lines = block.removeprefix("$ subscription-manager ").splitlines()
        said = [line.partition("| ") for line in lines]
        streams = {"out": list[str](), "ERR": list[str]()}
        code = None
        for stream, bar, text in said:
            if bar or stream.strip().endswith("|"):
                streams[stream.strip().rstrip("|")].append(text)
            elif stream.strip():
                code = int(stream.strip().removeprefix("rc="))
        assert code is not None
        calls.append(Call(first, _equal(streams["out"]), _equal(streams["ERR"]), code))
    return calls


def _equal(lines: list[str]) -> list[str]:
    """Repositories have no order; names, ids and the client's own version are of the system."""
    texts = (UUID.sub("UUID", line.rstrip()) for line in lines)
    own = (re.sub(r"^((The registered system )?name( is)?: ).*", r"\1NAME", text) for text in texts)
    return sorted(
        re.sub(r"^(subscription-manager: ).*", r"\1VERSION", text) for text in own if text
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
    # The recording has no quotes; no word of what is played has a blank.
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
def test_double_says_what_was_recorded(
    double: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recording: str,
    version: str,
    played: int,
) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"version": version}))
    monkeypatch.setattr(double, "STATE", state)
    monkeypatch.setenv("SUBSCRIPTION_DOUBLE", str(state))  # so that anybody may call it
    calls = [call for call in _recorded(recording) if not LEFT_OUT.match(call.words)]
    assert len(calls) >= played
    for number, call in enumerate(calls):
        assert _play(double, call) == call, f"call {number}: {call.words}"
