"""Runs that pyinfra itself would end with exit status 0 although little or nothing was done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from tests.deploy.project import Project, Result, fake

ONE = [fake("quay")]
THREE = {
    part: [fake(part, ssh_hostname=f"192.168.254.{number}")]
    for number, part in enumerate(("quay", "database", "redis"), 10)
}


def _refused(project: Project, *arguments: str) -> Result:
    """Run pyinfra; assert that it changed nothing and says so without a traceback."""
    result = project.run("-y", "-vv", *arguments)
    assert result.code == 1, result.output
    assert "nothing was changed" in result.output
    assert "Traceback" not in result.output
    assert "pyinfra-debug.log" not in result.output
    assert result.operations == []
    assert not project.credentials.exists()
    return result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{path}: has no host"),
        ("quay = []", "{path}: has no host"),
        ('quay = "bare1"', "quay: 'bare1' is not a list of hosts; write quay = ['bare1']"),
        ('quay = {"bare1": {}}', "quay: {{'bare1': {{}}}} is not a list of hosts"),
        ('quay = {"bare1"}', "quay: {{'bare1'}} is not a list of hosts"),
        ('quay = ("bare1", {"ssh_user": "me"})', "quay: 'bare1' is not a list of hosts"),
        ('quay = ("bare1",)', "quay: ('bare1',) is not a list of hosts; write quay = ['bare1']"),
        ("quay = None", "quay: None is not a list of hosts"),
        ("quay = [1]", "quay[0]: 1 is not a host"),
        ('quay = ["@fake/a", {"bare1": {}}]', "quay[1]: {{'bare1': {{}}}} is not a host"),
        ('quay = [("bare1", "me")]', "quay[0]: ('bare1', 'me') is not a host"),
        ('lab_name = "mine"', "lab_name: is a setting, which pyinfra ignores in an inventory"),
        ('quay = (each for each in ["a"])', "quay: a generator is not a list of hosts"),
        ('_data = ["a"]\nquay = [("bare1", _data)]', "quay[0]: a tuple is not a host"),
        ("quay = [", "{path}, line 1: "),
    ],
)
def test_an_inventory_that_pyinfra_reads_as_empty(
    project: Project, text: str, message: str
) -> None:
    path = project.path / "inventory.py"
    path.write_text(text)
    result = _refused(project, str(path), "deploy.py")
    assert message.format(path=path) in result.output


def test_misspelt_groups(project: Project) -> None:
    """pyinfra would leave the balancer out, and the group's data."""
    folder = project.path / "site"
    (folder / "group_data").mkdir(parents=True)
    (folder / "group_data" / "databse.py").write_text("database_port = 5433\n")
    hosts = "quay = database = redis = ['@fake/a']\nbalancers = ['@fake/b']\n"
    (folder / "inventory.py").write_text(hosts)
    result = _refused(project, "site/inventory.py", "deploy.py")
    assert "balancers: @fake/b is in this group, in which nothing runs; did you" in result.output
    assert "databse: no host is in this group, which has data; did you mean" in result.output


def test_an_inventory_that_does_not_exist(project: Project) -> None:
    assert "nowhere.py: no such file" in _refused(project, "nowhere.py", "deploy.py").output
    assert (
        "inventories/lab: no such file" in _refused(project, "inventories/lab", "deploy.py").output
    )


def test_a_folder_instead_of_an_inventory(project: Project) -> None:
    result = _refused(project, "group_data", "deploy.py")
    assert "group_data: is a folder; name the .py file in it" in result.output


def test_a_limit_that_nothing_matches(project: Project) -> None:
    inventory = project.inventory(**THREE)
    result = _refused(project, inventory, "deploy.py", "--limit", "nobody")
    assert "--limit: 'nobody' is neither a host nor a group of the inventory" in result.output
    assert "@fake/redis" in result.output
    also = _refused(project, inventory, "deploy.py", "--limit", "quay", "--limit", "databse")
    assert "--limit: 'databse'" in also.output


def test_a_limit_that_exclude_leaves_empty(project: Project) -> None:
    inventory = project.inventory(**THREE)
    result = _refused(project, inventory, "deploy.py", "--limit", "quay", "--exclude", "@fake/q*")
    assert "--exclude: leaves no host of --limit" in result.output


@pytest.mark.parametrize("option", ["--no-wait", "--serial", "--fail-percent=50"])
def test_hosts_that_would_not_wait_for_each_other(project: Project, option: str) -> None:
    """With --no-wait, pyinfra ends with 0 although its table shows errors."""
    result = _refused(project, project.inventory(**THREE), "deploy.py", option)
    assert f"{option.partition('=')[0]}: leave it out" in result.output


def test_data_without_a_value(project: Project) -> None:
    result = _refused(project, project.inventory(quay=ONE), "deploy.py", "--data", "purge")
    assert "--data: purge is not KEY=VALUE" in result.output


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"ssh_usr": "me"}, "ssh_usr: pyinfra has no such key for bare1; did you mean ssh_user?"),
        ({"_sudoo": True}, "_sudoo: pyinfra has no such key for bare1; did you mean _sudo?"),
        ({"ssh_port": 0}, "ssh_port: 0 is not a port of bare1; for example 22"),
        ({"ssh_port": "22"}, "ssh_port: of bare1: str is not an instance of int"),
        ({"_sudo": "no"}, "_sudo: of bare1: str is not an instance of bool"),
        ({"ssh_key": ""}, "ssh_key: is empty for bare1; leave it out"),
    ],
)
def test_data_that_pyinfra_would_ignore(
    project: Project, data: dict[str, object], message: str
) -> None:
    result = _refused(project, project.inventory(quay=[("bare1", data)]), "deploy.py")
    assert message in result.output
    assert "Connecting" not in result.output


def test_a_password_of_the_wrong_kind_is_not_shown(project: Project) -> None:
    data = ("--data", "_sudo_password=471147114711")
    result = _refused(project, project.inventory(quay=ONE), "deploy.py", *data)
    assert "_sudo_password: of @fake/quay: int is not an instance of str" in result.output
    assert "4711" not in result.output


def test_port_0_which_pyinfra_would_ignore(project: Project) -> None:
    result = _refused(project, project.inventory(quay=ONE), "deploy.py", "--port", "0")
    assert "--ssh-port: 0 is not a port" in result.output


def test_a_rotation_on_some_of_the_hosts(project: Project) -> None:
    inventory = project.inventory(**THREE)
    project.run("-y", inventory, "tasks/images.py")
    before = project.credentials.read_text()
    result = project.run("-y", "-vv", inventory, "tasks/rotate.py", "--limit", "database")
    assert result.code == 1
    for left_out in ("quay", "redis"):
        assert f"new passwords: @fake/{left_out} takes no part in this run" in result.output
    assert result.operations == []
    assert project.credentials.read_text() == before


def test_the_rest_of_a_rotation_on_some_of_the_hosts(project: Project) -> None:
    inventory = project.inventory(**THREE)
    project.run("-y", inventory, "tasks/images.py")
    project.run("-y", inventory, "tasks/rotate.py", until="Get the database's image")
    assert "superuser_passwords_before" in project.credentials.read_text()
    result = project.run("-y", "-vv", inventory, "deploy.py", "--limit", "database")
    assert result.code == 1
    assert "new passwords: @fake/quay takes no part in this run" in result.output
    assert result.operations == []


def test_a_given_password_for_some_of_the_hosts(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = project.inventory(**THREE)
    project.run("-y", inventory, "tasks/images.py")
    monkeypatch.setenv("QUAYLAB_DATABASE_PASSWORD", "another-password")
    result = project.run("-y", "-vv", inventory, "tasks/database.py", "--limit", "database")
    assert result.code == 1
    assert "new passwords: @fake/quay takes no part in this run" in result.output
    assert result.operations == []
    monkeypatch.delenv("QUAYLAB_DATABASE_PASSWORD")
    assert project.run("-y", inventory, "tasks/database.py", "--limit", "database").code == 0


def test_a_question_without_a_terminal(project: Project) -> None:
    """pyinfra itself would print a traceback."""
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    result = project.run(inventory, "tasks/images.py")
    assert result.code == 1
    assert "-y: nobody answers the question above, so the run ends here" in result.output
    assert "Traceback" not in result.output
    assert result.operations == []


def test_a_lost_host_without_a_terminal(project: Project) -> None:
    # Port 1 of this machine, where nobody listens.
    away = [("away", {"ssh_hostname": "127.0.0.1", "ssh_port": 1})]
    result = project.run(project.inventory(quay=ONE, database=away), "deploy.py", "--dry")
    assert result.code == 1
    assert "failed to connect, continue?" in result.output
    assert "-y: nobody answers the question above, so the run ends here" in result.output
    assert "Traceback" not in result.output


@contextmanager
def _run_until(
    text: str, project: Project, *arguments: str, delay: int
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Run pyinfra until it prints a text, with seconds of delay on each host; yield the process and
    the rest of its output."""
    with subprocess.Popen(
        [sys.executable, "-m", "pyinfra", "-y", *arguments],
        cwd=project.path,
        env={**os.environ, "PYINFRA_FAKE_DELAY": str(delay), "PYINFRA_PROGRESS": "off"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if text in line:
                break
        yield process, process.stderr


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupted_run(project: Project, times: int) -> None:
    inventory = project.inventory(quay=ONE, database=ONE, redis=ONE)
    begun = _run_until("Loading: deploy.py", project, inventory, "deploy.py", delay=3)
    with begun as (process, printed):
        for _ in range(times):
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
        output = printed.read()
    # The signal itself if the second one comes while Python ends; a shell shows 130 for both.
    assert process.returncode in (128 + signal.SIGINT, -signal.SIGINT)
    assert "Traceback" not in output


def test_an_interrupted_wait_ends_at_once(project: Project) -> None:
    """An operation that waits would block pyinfra's pool, by which it disconnects."""
    inventory = project.inventory(quay=ONE)
    waits = "import time\nfrom pyinfra.operations import python\npython.call(time.sleep, 600)\n"
    (project.path / "waits.py").write_text(waits)
    begun = _run_until("Starting operation", project, inventory, "waits.py", delay=0)
    with begun as (process, printed):
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=20) == 128 + signal.SIGINT
        finally:
            process.kill()
        assert "Traceback" not in printed.read()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys\nsys.exit()\n", "line 2: ends pyinfra"),
        ("\nraise RuntimeError('no vault')\n", "line 2: RuntimeError: no vault"),
        ("import nowhere\n", "line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("a = [\n", "line 1: SyntaxError: '[' was never closed"),
    ],
    ids=["exit", "error", "import", "syntax"],
)
def test_files_of_an_inventory_that_fail(project: Project, text: str, message: str) -> None:
    given = {"inventory.py": "quay = ['@fake/quay']\n", "group_data/all.py": text}
    (project.path / "group_data").unlink()
    (project.path / "group_data").mkdir()
    for path, content in given.items():
        (project.path / path).write_text(content)
    inventory = project.path / "inventory.py"
    _failed(project, f"{project.path}/group_data/all.py, {message}")
    if "SyntaxError" not in message:  # a syntax error is refused before, with all other problems
        inventory.write_text(text)
        _failed(project, f"{inventory}, {message}")


def _failed(project: Project, message: str) -> None:
    result = project.run("-y", str(project.path / "inventory.py"), "deploy.py")
    assert result.code == 1, result.output
    assert message in result.output
    assert "Traceback" not in result.output
    assert "pyinfra-debug.log" not in result.output


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--retry=-1", "--retry: -1 is not a number of retries"),
        ("--parallel=-1", "--parallel: -1 is not a number of hosts"),
        ("--data=_retries=-1", "_retries: -1 is not a number of retries of @fake/quay"),
    ],
)
def test_a_number_with_which_nothing_would_run(project: Project, option: str, message: str) -> None:
    assert message in _refused(project, project.inventory(quay=ONE), "deploy.py", option).output


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"_ignore_errors": True}, "_ignore_errors: is set for @fake/quay; leave it out"),
        ({"_success_exit_codes": [0, 1]}, "_success_exit_codes: is set for @fake/quay"),
        ({"_run_once": True}, "_run_once: is set for @fake/quay; leave it out"),
        ({"_serial": True}, "_serial: is set for @fake/quay; leave it out"),
        ({"_parallel": -1}, "_parallel: -1 is not a number of hosts of @fake/quay"),
    ],
)
def test_data_with_which_failures_or_hosts_would_not_count(
    project: Project, data: dict[str, object], message: str
) -> None:
    hosts = [("@fake/quay", data)]
    assert message in _refused(project, project.inventory(quay=hosts), "deploy.py").output
