"""Credentials: generated once, never lost, never shown, and used by one run at a time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from quaylab.problems import Refusal
from quaylab.secrets import certificates
from quaylab.secrets.credentials import (
    Credentials,
    Store,
    generate,
    with_missing_secrets,
    with_new_passwords,
)
from quaylab.secrets.given import SECRETS as KINDS
from tests.unit.samples import CREDENTIALS, ROOT, SECRETS, certified

# The passwords that every registry has.
PASSWORDS = ("database_password", "redis_password", "superuser_password")
# Takes the lock, prints a line, and holds the lock until stdin ends or it is killed.
HOLDER = """
import sys
from pathlib import Path
from quaylab.secrets.credentials import Store

store = Store("lab", Path(sys.argv[1]))
store.lock()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store("lab", tmp_path)


@pytest.fixture
def saved(store: Store) -> Credentials:
    """Credentials that an earlier run has saved."""
    store.save(CREDENTIALS)
    return CREDENTIALS


def _refused(store: Store, environment: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(Refusal) as refused:
        store.load(environment or {})
    return refused.value.problems


def test_generated_passwords_need_no_quoting() -> None:
    made = generate()
    for secret in (made.database_password, made.redis_password, made.superuser_password):
        assert secret.get_secret_value().isalnum()
        assert len(secret) >= 24


def test_generated_values_are_all_different() -> None:
    both = [value for made in (generate(), generate()) for value in made.plain_values().values()]
    given = [value for value in both if value]
    assert len(set(given)) == len(given) == 12


def test_generated_key_fits_quay() -> None:
    assert len(generate().database_secret_key) <= 63


def test_repr_hides_every_secret() -> None:
    made = certified()
    shown = f"{made!r} {made} {made.model_dump()}"
    hidden = [value.get_secret_value() for _, value in made if isinstance(value, SecretStr)]
    assert len(hidden) == len(SECRETS) + 2
    assert not [secret for secret in hidden if secret in shown]


def test_first_load_saves_nothing(store: Store) -> None:
    assert store.load({}) != store.load({})
    assert not store.exists


def test_saved_credentials_come_back(store: Store) -> None:
    made = certified()
    store.save(made)
    assert store.load({}) == made


def test_only_the_owner_may_read_the_file(store: Store, saved: Credentials) -> None:
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_everyone_may_read_the_ca_file(store: Store) -> None:
    made = certified()
    store.save(made)
    assert store.ca_path.read_text() == made.ca_certificate
    assert store.ca_path.stat().st_mode & 0o777 == 0o644


def test_remove_leaves_nothing(store: Store) -> None:
    store.save(certified())
    store.remove()
    store.remove()
    assert not store.exists
    assert not store.ca_path.exists()


@pytest.mark.parametrize("key", ["database_password", "redis_password", "superuser_password"])
def test_environment_has_precedence(store: Store, saved: Credentials, key: str) -> None:
    found = store.load({f"QUAYLAB_{key.upper()}": "given-by-me"}).plain_values()
    before = [saved.plain_values()["superuser_password"]] if key == "superuser_password" else []
    assert found == {
        **saved.plain_values(),
        key: "given-by-me",
        # Quay has the old one until a run changes it; a typo must not lose it.
        "superuser_passwords_before": before,
    }


def test_every_password_that_quay_may_have_survives_one_in_the_environment(store: Store) -> None:
    """A rotation was killed after Quay took the new password, and before that was saved."""
    rotation = with_new_passwords(CREDENTIALS, PASSWORDS)
    store.save(rotation)
    found = store.load({"QUAYLAB_SUPERUSER_PASSWORD": "given-by-me"})
    old, new = CREDENTIALS.superuser_password, rotation.superuser_password
    assert found.superuser_passwords_before == (new, old)
    assert found.superuser_passwords == (
        new.get_secret_value(),
        old.get_secret_value(),
        "given-by-me",
    )


def test_the_same_password_given_again_changes_nothing(store: Store) -> None:
    store.save(CREDENTIALS)
    given = {"QUAYLAB_SUPERUSER_PASSWORD": "given-by-me"}
    store.save(store.load(given))
    before = store.load({})
    assert store.load(given) == before
    old = CREDENTIALS.superuser_password.get_secret_value()
    back = store.load({"QUAYLAB_SUPERUSER_PASSWORD": old})
    assert back.superuser_passwords == ("given-by-me", old)


@pytest.mark.parametrize("key", ["database_secret_key", "secret_key"])
def test_environment_may_give_a_key_before_the_first_run(store: Store, key: str) -> None:
    assert (
        store.load({f"QUAYLAB_{key.upper()}": "given-by-me"}).plain_values()[key] == "given-by-me"
    )


@pytest.mark.parametrize("key", ["database_secret_key", "secret_key"])
def test_environment_never_changes_a_key(store: Store, saved: Credentials, key: str) -> None:
    variable = f"QUAYLAB_{key.upper()}"
    same = saved.plain_values()[key]
    assert same
    assert store.load({variable: same}) == saved
    (problem,) = _refused(store, {variable: "another-key"})
    assert problem.startswith(f"{variable}: differs from {store.path}")
    assert "unset the variable" in problem


@pytest.mark.parametrize(
    "value", ["short", "white space", "tab\tinside", "", "bell\x07inside", "pässwörter", "'quoted'"]
)
def test_impossible_password_is_refused_without_showing_it(store: Store, value: str) -> None:
    (problem,) = _refused(store, {"QUAYLAB_REDIS_PASSWORD": value})
    assert problem.startswith("QUAYLAB_REDIS_PASSWORD: must have 8 to 256 characters, each an")
    assert value in ("", "white space") or value not in problem


@pytest.mark.parametrize(
    "value", ["pässwörter", "🔑🔑🔑🔑🔑🔑🔑🔑", "p" * 73, "no\x00null1", "\udce4-latin-1"]
)
def test_superuser_password_that_quay_does_not_accept_is_refused(
    store: Store, saved: Credentials, value: str
) -> None:
    (problem,) = _refused(store, {"QUAYLAB_SUPERUSER_PASSWORD": value})
    assert problem.startswith("QUAYLAB_SUPERUSER_PASSWORD: must have 8 to 72 characters, each an")
    assert store.load({}) == saved


def test_passwords_of_services_elsewhere_may_have_any_punctuation(store: Store) -> None:
    given = {"QUAYLAB_DATABASE_PASSWORD": """{"it's"}[\\]`#%"""}
    assert len(_refused(store, given)) == 1
    found = store.load(given, external=["database_password"])
    assert found.database_password.get_secret_value() == given["QUAYLAB_DATABASE_PASSWORD"]


def test_a_saved_password_that_quay_never_accepted_is_replaced(store: Store) -> None:
    """Earlier versions saved such passwords."""
    never = {"superuser_password": SecretStr("pässwörter")}
    store.save(with_new_passwords(CREDENTIALS, PASSWORDS).model_copy(update=never))
    (problem,) = _refused(store)
    assert problem.startswith(f"{store.path}: Quay does not accept superuser_password")
    found = store.load({"QUAYLAB_SUPERUSER_PASSWORD": "given-by-me"})
    old = CREDENTIALS.superuser_password.get_secret_value()
    assert found.superuser_passwords == (old, "given-by-me")


def test_too_long_a_key_is_refused_without_showing_it(store: Store) -> None:
    (problem,) = _refused(store, {"QUAYLAB_DATABASE_SECRET_KEY": "k" * 64})
    assert problem.startswith("QUAYLAB_DATABASE_SECRET_KEY: ")
    assert "63" in problem
    assert "kkk" not in problem


# --- credentials that only some registries have ---


def test_only_missing_credentials_are_generated() -> None:
    keys = ("storage_access_key", "storage_secret_key")
    made = with_missing_secrets(CREDENTIALS, keys)
    access, secret = made.storage_access_key, made.storage_secret_key
    assert access and re.fullmatch("[A-Z0-9]{20}", access.get_secret_value())
    assert secret and re.fullmatch("[A-Za-z0-9]{40}", secret.get_secret_value())
    assert made.swift_password is None
    assert with_missing_secrets(made, keys) == made
    assert with_missing_secrets(CREDENTIALS, PASSWORDS) == CREDENTIALS


# --- rotation ---


def test_rotation_changes_passwords_and_never_a_key() -> None:
    changed = {
        key
        for key, value in with_new_passwords(CREDENTIALS, PASSWORDS).plain_values().items()
        if value != CREDENTIALS.plain_values()[key]
    }
    assert changed == {*PASSWORDS, "superuser_passwords_before", "rotation_begun"}
    assert changed.isdisjoint(key for key, secret in KINDS.items() if secret.is_permanent)


def test_rotation_remembers_the_password_that_still_signs_in() -> None:
    after = with_new_passwords(CREDENTIALS, PASSWORDS)
    assert after.superuser_passwords_before == (CREDENTIALS.superuser_password,)


def test_after_a_restore_a_retired_password_may_be_valid_again() -> None:
    first = CREDENTIALS.superuser_password
    second = with_new_passwords(CREDENTIALS, PASSWORDS).with_confirmed_password()
    third = with_new_passwords(second, PASSWORDS).with_confirmed_password()
    assert third.superuser_passwords_before == ()
    assert third.superuser_passwords_retired == (second.superuser_password, first)
    wanted = [third.superuser_password, second.superuser_password, first]
    restoring = third.with_former_passwords()
    assert restoring.superuser_passwords == tuple(each.get_secret_value() for each in wanted)
    assert restoring.with_former_passwords() == restoring
    assert restoring.with_confirmed_password() == third
    assert CREDENTIALS.with_former_passwords() == CREDENTIALS


def test_a_rotation_in_progress_is_not_started_again() -> None:
    rotation = with_new_passwords(CREDENTIALS, PASSWORDS)
    assert with_new_passwords(rotation, PASSWORDS) == rotation
    done = rotation.with_confirmed_password()
    assert with_new_passwords(done, PASSWORDS).redis_password != done.redis_password


def test_what_else_leaves_former_passwords_is_no_rotation() -> None:
    """A restore does, and a new superuser's password that no run has given to Quay yet."""
    restored = (
        with_new_passwords(CREDENTIALS, PASSWORDS).with_confirmed_password().with_former_passwords()
    )
    assert restored.superuser_passwords_before
    after = with_new_passwords(restored, PASSWORDS)
    assert after.database_password != restored.database_password
    assert after.superuser_passwords[:-1] == restored.superuser_passwords


def test_rotation_changes_only_the_given_passwords() -> None:
    after = with_new_passwords(CREDENTIALS, ["redis_password"])
    assert after.database_password == CREDENTIALS.database_password
    assert after.redis_password != CREDENTIALS.redis_password


# --- passwords of services that run elsewhere ---


def test_password_of_a_service_elsewhere_is_not_generated(store: Store) -> None:
    with pytest.raises(Refusal) as refused:
        store.load({}, required=["database_password", "redis_password"])
    first, second = refused.value.problems
    assert first.startswith(
        "QUAYLAB_DATABASE_PASSWORD: not set; it has to hold the password of Quay's role"
    )
    assert second.startswith("QUAYLAB_REDIS_PASSWORD: ")


def test_password_of_a_service_elsewhere_is_given_by_the_environment(store: Store) -> None:
    given = {"QUAYLAB_REDIS_PASSWORD": "given-by-me"}
    found = store.load(given, required=["redis_password"], ask=pytest.fail)
    assert found.redis_password.get_secret_value() == "given-by-me"


def test_password_of_a_service_elsewhere_is_asked_for_once(store: Store) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "typed-by-me"

    found = store.load({}, required=["redis_password"], ask=ask)
    assert found.redis_password.get_secret_value() == "typed-by-me"
    store.save(found)
    assert store.load({}, required=["redis_password"], ask=ask) == found
    assert len(asked) == 1
    assert asked[0].startswith("password of Redis")


def test_impossible_typed_password_is_refused(store: Store) -> None:
    with pytest.raises(Refusal, match="must have 8 to 256 characters"):
        store.load({}, required=["redis_password"], ask=lambda prompt: "short")


def test_keeps_saved_credentials_only(store: Store, saved: Credentials) -> None:
    assert store.is_saved(saved)
    assert not store.is_saved(generate())


def test_keeps_nothing_before_it_is_saved(store: Store) -> None:
    assert not store.is_saved(CREDENTIALS)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_too_open_a_file_is_refused(store: Store, saved: Credentials, mode: int) -> None:
    store.path.chmod(mode)
    (problem,) = _refused(store)
    assert f"chmod 600 {store.path}" in problem


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- database_password: hunter2hunter2\n",
        b"identity: [hunter2hunter2\n",
        b"identity: x\nsecret_key: hunter2hunter2\n",
        b"database_password: \xff\xfehunter2hunter2\n",
        b"hunter2hunter2",
    ],
    ids=["empty", "list", "no YAML", "incomplete", "no text", "text"],
)
def test_damaged_file_is_refused_without_showing_its_content(store: Store, content: bytes) -> None:
    store.path.touch(0o600)
    store.path.write_bytes(content)
    with pytest.raises(Refusal) as refused:
        store.load({})
    (problem,) = refused.value.problems
    assert problem.startswith(f"{store.path}: is damaged")
    assert "restore it from a backup" in problem
    assert "hunter2" not in problem
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


# --- damaged files ---


def test_every_truncated_file_is_refused_or_complete(store: Store) -> None:
    """A copy may have ended early, at the end of each line or in the middle of one."""
    whole = certified()
    store.save(whole)
    text = store.path.read_text()
    ends = [end for end, sign in enumerate(text) if sign == "\n"]
    taken = []
    for cut in sorted({*(end + 1 for end in ends), *(end - 3 for end in ends)}):
        store.path.write_text(text[:cut])
        with suppress(Refusal):
            found = store.load({}, needs_ca=True)
            if not certificates.mismatches(found):
                taken.append((cut, found))
    checksum = text.index("checksum: ")
    assert taken == [(checksum, whole), (len(text), whole)]


def test_edited_file_is_refused_with_the_remedy(store: Store) -> None:
    store.save(CREDENTIALS)
    store.path.write_text(store.path.read_text().replace("redis-password", "edited-password"))
    (problem,) = _refused(store)
    assert problem.startswith(f"{store.path}: does not match its checksum. If you edited it on")
    assert "remove its last line, the checksum, and run again" in problem
    *lines, _ = store.path.read_text().splitlines(keepends=True)
    store.path.write_text("".join(lines))
    edited = store.load({})
    assert edited.redis_password.get_secret_value() == "edited-password"
    assert not store.is_saved(edited)
    store.save(edited)
    assert store.is_saved(edited)


def test_file_without_a_checksum_is_accepted_and_saved_again(store: Store) -> None:
    whole = certified()
    values = {key: value for key, value in whole.plain_values().items() if value}
    values["superuser_password_before"] = "rotated-before"
    store.path.touch(0o600)
    store.path.write_text(yaml.safe_dump(values))
    found = store.load({}, needs_ca=True)
    assert found == whole.model_copy(
        update={"superuser_passwords_before": (SecretStr("rotated-before"),)}
    )
    assert not store.is_saved(found)
    store.save(found)
    assert store.is_saved(store.load({}, needs_ca=True))


def test_comments_and_line_ends_are_no_edit(store: Store, saved: Credentials) -> None:
    text = store.path.read_text()
    store.path.write_bytes(f"# Ours\n{text}".replace("\n", "\r\n").encode())
    assert store.load({}) == saved


def test_an_unreadable_file_is_reported_in_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.path.mkdir()
    (problem,) = _refused(store)
    assert problem.startswith(f"{store.path}: is a directory; ")
    store.path.rmdir()

    store.path.symlink_to("/nowhere/lab.yaml")
    (problem,) = _refused(store)
    assert problem.startswith(f"{store.path}: is a link to /nowhere/lab.yaml, which isn't there")
    store.path.unlink()

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    store.save(CREDENTIALS)
    monkeypatch.setattr(Path, "read_text", refuse)
    (problem,) = _refused(store)
    assert problem.startswith(f"{store.path}: can't be read: Permission denied; run as its owner")


def test_a_symbolic_link_stays_a_link(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "safe"
    elsewhere.mkdir()
    store.path.symlink_to(elsewhere / "lab.yaml")
    store.save(CREDENTIALS)
    assert store.path.is_symlink()
    assert store.load({}) == CREDENTIALS


def test_a_read_only_folder_is_reported_in_one_line(
    store: Store, saved: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as root, who may write everywhere.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(Refusal) as refused:
        store.lock()
    (problem,) = refused.value.problems
    assert problem.startswith(f"{store.path.parent}: can't be written: ")


@pytest.mark.parametrize("kind", ["file", "lock"])
def test_a_lock_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path, kind: str) -> None:
    directory = tmp_path / "credentials"
    if kind == "file":
        directory.touch()
    else:
        (directory / "lab.lock").mkdir(parents=True)
    with pytest.raises(Refusal) as refused:
        Store("lab", directory).lock()
    (problem,) = refused.value.problems
    assert problem.startswith(f"{directory}")
    assert ": can't be written: " in problem


def test_a_crash_while_saving_keeps_the_old_file(
    store: Store, saved: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(OSError, match="no space"):
        store.save(generate())
    monkeypatch.undo()
    assert store.load({}) == saved
    later = generate()
    store.save(later)
    assert store.load({}) == later


def test_file_has_its_mode_before_it_has_content(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []

    def look(descriptor: int) -> None:
        modes.extend(path.stat().st_mode & 0o777 for path in store.path.parent.iterdir())

    monkeypatch.setattr("os.fsync", look)
    store.save(CREDENTIALS)
    assert modes
    assert set(modes) == {0o600}


def test_a_saved_file_survives_a_power_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its content is on the disk before its name is, and its name before a host is changed."""
    on_disk: list[str] = []
    monkeypatch.setattr(
        "os.fsync", lambda fd: on_disk.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
    )
    store.save(CREDENTIALS)
    assert on_disk == [f"{store.path}.new", str(store.path.parent)]


@contextmanager
def _holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Start another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


def test_two_runs_at_once_are_refused(store: Store) -> None:
    with _holder(store.path.parent), pytest.raises(Refusal) as refused:
        store.lock()
    (problem,) = refused.value.problems
    assert problem.startswith(f"lab_name: another run uses {store.path}: ")
    assert re.search(
        r" on \S+, process \d+, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC; wait", problem
    )


def test_sigkill_releases_the_lock(store: Store) -> None:
    with _holder(store.path.parent) as process:
        process.kill()
        process.wait()
        store.lock()


def test_labs_do_not_lock_each_other(tmp_path: Path) -> None:
    with _holder(tmp_path):
        Store("other", tmp_path).lock()


def test_directory_is_created_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    Store("lab", directory).lock()
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_missing_ca_file_is_written_by_the_next_run(
    tmp_path: Path,
) -> None:
    store = Store("lab", tmp_path)
    saved = certified("quay.example.com")
    store.save(saved)
    assert store.is_saved(saved)
    store.ca_path.unlink()
    assert not store.is_saved(saved)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("QUAYLAB_DATABSE_PASSWORD", "QUAYLAB_DATABASE_PASSWORD"),
        ("QUAYLAB_SUPERUSER_PASWORD", "QUAYLAB_SUPERUSER_PASSWORD"),
        ("quaylab_redis_password", "QUAYLAB_REDIS_PASSWORD"),
    ],
)
def test_variable_that_nobody_reads(tmp_path: Path, name: str, near: str) -> None:
    with pytest.raises(Refusal) as refused:
        Store("quaylab", tmp_path).load({name: "hunter2hunter2", "QUAYLAB_HOME": "/srv"})
    assert refused.value.problems == (f"{name}: no such variable; did you mean {near}?",)


@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "1: 2\nidentity: x\nchecksum: x\n"])
def test_file_with_odd_yaml(tmp_path: Path, text: str) -> None:
    store = Store("quaylab", tmp_path)
    store.path.write_text(text)
    store.path.chmod(0o600)
    with pytest.raises(Refusal, match="is damaged"):
        store.load({})


def test_a_pipe_instead_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    store = Store("quaylab", tmp_path)
    os.mkfifo(store.path, 0o600)
    with pytest.raises(Refusal, match="is not a file but a pipe"):
        store.load({})
