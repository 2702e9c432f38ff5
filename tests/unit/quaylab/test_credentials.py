"""Credentials: made once, never lost, never shown, never in two runs at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from quaylab.credentials import GIVEN, NEVER_CHANGED, Credentials, Store, generate, rotated
from quaylab.problems import Refusal
from tests.unit.samples import CREDENTIALS, ROOT, SECRETS, certified

# Takes the lock, says so, and holds it until its stdin ends or it is killed.
HOLDER = """
import sys
from pathlib import Path
from quaylab.credentials import Store

store = Store("lab", Path(sys.argv[1]))
store.lock()
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store("lab", tmp_path)


@pytest.fixture
def kept(store: Store) -> Credentials:
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
    both = [value for made in (generate(), generate()) for value in made.revealed().values()]
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


def test_first_load_makes_and_keeps_nothing(store: Store) -> None:
    assert store.load({}) != store.load({})
    assert not store.exists


def test_saved_credentials_come_back(store: Store) -> None:
    made = certified()
    store.save(made)
    assert store.load({}) == made


def test_file_is_for_its_owner_alone(store: Store, kept: Credentials) -> None:
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_ca_is_beside_it_for_everyone(store: Store) -> None:
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
def test_environment_comes_first(store: Store, kept: Credentials, key: str) -> None:
    found = store.load({f"QUAYLAB_{key.upper()}": "given-by-me"}).revealed()
    before = kept.revealed()["superuser_password"] if key == "superuser_password" else None
    assert found == {
        **kept.revealed(),
        key: "given-by-me",
        # Quay knows the old one until it is told; a typo must not lose it.
        "superuser_password_before": before,
    }


@pytest.mark.parametrize("key", ["database_secret_key", "secret_key"])
def test_environment_may_give_a_key_at_first(store: Store, key: str) -> None:
    assert store.load({f"QUAYLAB_{key.upper()}": "given-by-me"}).revealed()[key] == "given-by-me"


@pytest.mark.parametrize("key", ["database_secret_key", "secret_key"])
def test_environment_never_changes_a_key(store: Store, kept: Credentials, key: str) -> None:
    variable = f"QUAYLAB_{key.upper()}"
    same = kept.revealed()[key]
    assert same
    assert store.load({variable: same}) == kept
    (problem,) = _refused(store, {variable: "another-key"})
    assert problem.startswith(f"{variable}: differs from {store.path}")
    assert "unset the variable" in problem


@pytest.mark.parametrize("value", ["short", "white space", "tab\tinside", ""])
def test_impossible_password_is_refused_unquoted(store: Store, value: str) -> None:
    (problem,) = _refused(store, {"QUAYLAB_REDIS_PASSWORD": value})
    assert problem == "QUAYLAB_REDIS_PASSWORD: must be 8 characters or more, without white space"


def test_too_long_a_key_is_refused_unquoted(store: Store) -> None:
    (problem,) = _refused(store, {"QUAYLAB_DATABASE_SECRET_KEY": "k" * 64})
    assert problem.startswith("QUAYLAB_DATABASE_SECRET_KEY: ")
    assert "63" in problem
    assert "kkk" not in problem


# --- rotation ---


def test_rotation_changes_passwords_and_never_a_key() -> None:
    changed = {
        key
        for key, value in rotated(CREDENTIALS, GIVEN).revealed().items()
        if value != CREDENTIALS.revealed()[key]
    }
    assert changed == {*GIVEN, "superuser_password_before"}
    assert changed.isdisjoint(NEVER_CHANGED)


def test_rotation_remembers_the_password_that_still_signs_in() -> None:
    after = rotated(CREDENTIALS, GIVEN)
    assert after.superuser_password_before == CREDENTIALS.superuser_password


def test_rotation_that_was_begun_is_not_begun_anew() -> None:
    begun = rotated(CREDENTIALS, GIVEN)
    assert rotated(begun, GIVEN) == begun


def test_rotation_leaves_out_what_runs_elsewhere() -> None:
    after = rotated(CREDENTIALS, ["redis_password"])
    assert after.database_password == CREDENTIALS.database_password
    assert after.redis_password != CREDENTIALS.redis_password


# --- passwords of services that run elsewhere ---


def test_password_of_a_service_elsewhere_is_not_made(store: Store) -> None:
    with pytest.raises(Refusal) as refused:
        store.load({}, foreign=["database_password", "redis_password"])
    first, second = refused.value.problems
    assert first.startswith("QUAYLAB_DATABASE_PASSWORD: not set, the password of Quay's role")
    assert second.startswith("QUAYLAB_REDIS_PASSWORD: ")


def test_password_of_a_service_elsewhere_is_given_by_the_environment(store: Store) -> None:
    given = {"QUAYLAB_REDIS_PASSWORD": "given-by-me"}
    found = store.load(given, foreign=["redis_password"], ask=pytest.fail)
    assert found.redis_password.get_secret_value() == "given-by-me"


def test_password_of_a_service_elsewhere_is_asked_for_once(store: Store) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "typed-by-me"

    found = store.load({}, foreign=["redis_password"], ask=ask)
    assert found.redis_password.get_secret_value() == "typed-by-me"
    store.save(found)
    assert store.load({}, foreign=["redis_password"], ask=ask) == found
    assert len(asked) == 1
    assert asked[0].startswith("password of Redis")


def test_impossible_password_is_refused_as_it_is_typed(store: Store) -> None:
    with pytest.raises(Refusal, match="8 characters or more"):
        store.load({}, foreign=["redis_password"], ask=lambda prompt: "short")


def test_keeps(store: Store, kept: Credentials) -> None:
    assert store.keeps(kept)
    assert not store.keeps(generate())


def test_keeps_nothing_before_it_is_saved(store: Store) -> None:
    assert not store.keeps(CREDENTIALS)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_too_open_a_file_is_refused(store: Store, kept: Credentials, mode: int) -> None:
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
    ],
    ids=["empty", "another shape", "no YAML", "incomplete", "no text"],
)
def test_damaged_file_is_refused_without_what_it_holds(store: Store, content: bytes) -> None:
    store.path.touch(0o600)
    store.path.write_bytes(content)
    with pytest.raises(Refusal) as refused:
        store.load({})
    (problem,) = refused.value.problems
    assert problem.startswith(f"{store.path}: damaged; restore it from a backup")
    assert "hunter2" not in problem
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_crash_while_saving_keeps_the_old_file(
    store: Store, kept: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(OSError, match="no space"):
        store.save(generate())
    monkeypatch.undo()
    assert store.load({}) == kept
    later = generate()
    store.save(later)
    assert store.load({}) == later


def test_file_is_narrow_before_it_holds_anything(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []

    def look(descriptor: int) -> None:
        modes.extend(path.stat().st_mode & 0o777 for path in store.path.parent.iterdir())

    monkeypatch.setattr("os.fsync", look)
    store.save(CREDENTIALS)
    assert modes == [0o600]


@contextmanager
def _holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
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
    assert problem.startswith("lab_name: another run uses")


def test_lock_is_freed_by_sigkill(store: Store) -> None:
    with _holder(store.path.parent) as process:
        process.kill()
        process.wait()
        store.lock()


def test_labs_do_not_lock_each_other(tmp_path: Path) -> None:
    with _holder(tmp_path):
        Store("other", tmp_path).lock()


def test_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    Store("lab", directory).lock()
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_run_killed_before_the_cas_file_was_written_is_finished_by_the_next(
    tmp_path: Path,
) -> None:
    store = Store("lab", tmp_path)
    kept = certified("quay.example.com")
    store.save(kept)
    assert store.keeps(kept)
    store.ca_path.unlink()
    assert not store.keeps(kept)
