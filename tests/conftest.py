"""What is collected: the project's own tests, or tests/hosts against deployed hosts, never both."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
HOSTS = TESTS / "hosts"
# Folders whose tests get a marker of the same name.
TIERS = ("machine", "ceph", "ha", "openshift", "vm")
# The tests on machines that take longest, the longest first, so that both workers end at about the
# same time. The others follow. ./lab test prints the durations to correct this by.
LONGEST = (
    "vm/test_lab.py",
    "machine/test_drift.py",
    "machine/test_demo.py",
    "machine/test_move_engine.py",
    "ceph/test_one_host.py",
    "machine/test_ownership.py",
    "machine/test_upgrade.py",
    "machine/test_subscription.py",
    "ceph/test_cephadm.py",
    "machine/test_kills.py",
    "machine/test_move_blobs.py",
    "machine/test_services_elsewhere.py",
    "machine/test_three_machines.py",
    "machine/test_image_sources.py",
    "machine/test_machines.py",
)
# testinfra's options that pyinfra's inventory replaces.
REPLACED = ("connection", "ssh_config", "ssh_identity_file", "ssh_extra_args", "ansible_inventory")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup(
        "quaylab",
        "verify deployed hosts; --hosts takes names and groups of the inventory, `all`, or "
        "testinfra's ssh://NAME and local://, and the inventory says how to connect",
    )
    group.addoption(
        "--inventory",
        metavar="FILE",
        help="inventory that the hosts were deployed with (with =; default: inventory.py)",
    )
    group.addoption(
        "--data",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override data of the inventory, as pyinfra's --data",
    )
    parser.addoption("--all", action="store_true", help="run the long tests as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each tier's tests, so that none lacks its marker; sort their files; deselect long tests
    without --all."""
    for item in items:
        if (tier := item.path.relative_to(TESTS).parts[0]) in TIERS:
            item.add_marker(getattr(pytest.mark, tier))
        if item.get_closest_marker("podman") and item.get_closest_marker("long_with_podman"):
            item.add_marker(pytest.mark.long)
    items.sort(key=_place)
    if not config.getoption("all"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)


def _place(item: pytest.Item) -> int:
    name = item.path.relative_to(TESTS).as_posix()
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not _hosts_given(config):
        _refuse_host_tests(config)
        return
    _refuse_replaced_options(config)
    _collect_host_tests_only(config)
    _keep_secrets_out_of_the_report(config)
    # Imported here: the fast tests need neither pyinfra's connections nor Docker's SDK.
    from tests.hosts.lab import LAB, Lab

    given = config.getoption("inventory")
    # Credentials and local files are looked for where pyinfra looks: from the project's root.
    os.chdir(config.rootpath)
    lab = Lab(
        hosts=config.getoption("hosts"),
        inventory=(
            config.invocation_params.dir / given if given else config.rootpath / "inventory.py"
        ),
        data=config.getoption("data"),
        sudo=config.getoption("sudo"),
        sudo_user=config.getoption("sudo_user"),
    )
    config.stash[LAB] = lab
    config.add_cleanup(lab.close)


def pytest_report_header(config: pytest.Config) -> list[str] | None:
    if not _hosts_given(config):
        return None
    from tests.hosts.lab import LAB

    return config.stash[LAB].header()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path == HOSTS and not _hosts_given(config) else None


def _hosts_given(config: pytest.Config) -> bool:
    return config.getoption("hosts", None) is not None


def _refuse_host_tests(config: pytest.Config) -> None:
    """Without --hosts testinfra would silently test this machine."""
    asked = [argument for argument in config.args if _is_host_test(config, argument)]
    asked += [f"--{option}" for option in ("inventory", "data") if config.getoption(option)]
    if asked:
        raise pytest.UsageError(
            f"{asked[0]}: deployed hosts are verified only if they are named: "
            "add --hosts=all, or names and groups of the inventory"
        )


def _keep_secrets_out_of_the_report(config: pytest.Config) -> None:
    """Longer tracebacks show arguments, -l local variables, and -vv what commands print."""
    config.option.tbstyle = "short"
    config.option.showlocals = False
    logging.getLogger("testinfra").setLevel(logging.INFO)


def _refuse_replaced_options(config: pytest.Config) -> None:
    for option in REPLACED:
        if config.getoption(option):
            raise pytest.UsageError(
                f"--{option.replace('_', '-')}: the inventory says how to connect; "
                "for this run, --data ssh_key=… or --data ssh_config_file=… says it otherwise"
            )


def _collect_host_tests_only(config: pytest.Config) -> None:
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    chosen = [argument for argument in config.args if _is_host_test(config, argument)]
    for argument in config.args if given else []:
        if argument not in chosen and not HOSTS.is_relative_to(_path(config, argument)):
            raise pytest.UsageError(f"{argument}: with --hosts only tests/hosts is collected")
    config.args = chosen or [str(HOSTS)]
    config.args_source = pytest.Config.ArgsSource.ARGS  # the report then shows no testpaths


def _is_host_test(config: pytest.Config, argument: str) -> bool:
    return _path(config, argument).is_relative_to(HOSTS)


def _path(config: pytest.Config, argument: str) -> Path:
    return (config.invocation_params.dir / argument.partition("::")[0]).resolve()
