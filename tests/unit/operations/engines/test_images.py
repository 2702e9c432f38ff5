"""Images: they come from the source that is set."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import FileUploadCommand, StringCommand
from pyinfra.api.facts import FactBase

from facts.images import Images
from operations.engines import images
from operations.runtime import commands
from quaylab.checks.fetched_images import ImageState, note_path
from quaylab.engines import PODMAN
from quaylab.images import Image, base_image, packaged_image
from quaylab.services import redis
from quaylab.settings.loading import Settings
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.samples import settings
from tests.unit.shell import Shell

IMAGE = Image("quay.io/projectquay/quay:v3.18.0", "registry")


SEEN = ImageState(("sha256:1", "quay.io/projectquay/quay@sha256:2"))
KNOWN = dataclasses.replace(SEEN, remembered=SEEN.identities)
OTHER = dataclasses.replace(KNOWN, identities=("sha256:3", "elsewhere/quay@sha256:4"))


class Fetching(FakeHost):
    """A host without the images until the operation reads the fact again."""

    def __init__(self, fetched: dict[str, ImageState]) -> None:
        super().__init__()
        self.answers = iter(({}, fetched))

    def get_fact(self, fact: type[FactBase[Any]], *values: Any, **arguments: Any) -> Any:
        return next(self.answers)


def _present(host: FakeHost, image: Image, wanted: Settings) -> list[str]:
    return host.shell(images.present, images=[image], settings=wanted)


def test_an_existing_image_is_not_fetched() -> None:
    host = FakeHost({Images: {IMAGE.reference: KNOWN}})
    assert _present(host, IMAGE, settings()) == []
    assert host.noops == [f"present: {IMAGE.reference}"]


def test_an_image_without_a_note_is_recorded() -> None:
    host = FakeHost({Images: {IMAGE.reference: SEEN}})
    (write,) = host.operate(images.present, images=[IMAGE], settings=settings())
    assert base64.b64decode(stdin(write)).decode() == f"{' '.join(SEEN.identities)}\n"
    assert note_path(IMAGE.reference) in text(write)


def test_an_image_that_changed_since_the_plan_stops_the_run(shell: Shell) -> None:
    """The image itself is not changed."""
    (refuse,) = _present(FakeHost({Images: {IMAGE.reference: OTHER}}), IMAGE, settings())
    done = shell.run(refuse)
    assert done.returncode == 1
    assert "is another image than the one that was fetched there before" in done.stderr


def test_each_image_is_fetched_once() -> None:
    assert len(FakeHost().shell(images.present, images=[IMAGE, IMAGE], settings=settings())) == 1


# --- registry ---


def test_a_pulled_image_is_recorded() -> None:
    pull, write = _present(Fetching({IMAGE.reference: SEEN}), IMAGE, settings())
    assert " pull " in pull
    assert note_path(IMAGE.reference) in write


def test_pulling_the_same_image_again_is_fine() -> None:
    (pull,) = _present(Fetching({IMAGE.reference: KNOWN}), IMAGE, settings())
    assert " pull " in pull


def test_a_moved_tag_is_refused(shell: Shell) -> None:
    _, remove, refuse = _present(Fetching({IMAGE.reference: OTHER}), IMAGE, settings())
    assert remove.startswith(f"docker image rm {IMAGE.reference}")
    done = shell.run(refuse)
    assert done.returncode == 1
    assert "is another image than the one that was fetched there before" in done.stderr


@pytest.fixture
def engine(shell: Shell) -> Shell:
    shell.stub("getent", "echo root:x:0:0::/home/puller:/bin/sh")
    shell.stub("docker", ":")
    return shell


def _pull(shell: Shell) -> tuple[int, str]:
    (command,) = FakeHost().operate(images.present, images=[IMAGE], settings=settings())
    done = shell.run(text(command))
    return done.returncode, done.stderr.strip()


def test_pull_uses_the_login_of_pull_secret_user(engine: Shell) -> None:
    assert _pull(engine) == (0, "")
    assert f"docker --config /home/puller/.docker pull {IMAGE.reference}" in engine.calls


def test_with_podman_the_pull_secret_precedes_a_podman_login(
    engine: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "host_engine", lambda: PODMAN)
    secret = tmp_path / "config.json"
    secret.touch()
    engine.stub("podman", 'echo "$HOME" >&2')
    for wanted, option in (
        (settings(pull_secret=secret), "--authfile=/home/puller/.docker/config.json "),
        (settings(), ""),
    ):
        (command,) = FakeHost().operate(images.present, images=[IMAGE], settings=wanted)
        assert engine.run(text(command)).stderr == "/home/puller\n"
        assert engine.calls[-1] == f"podman pull --quiet {option}{IMAGE.reference}"


def test_a_failed_pull_names_all_remedies_in_one_line(engine: Shell) -> None:
    engine.stub("docker", "exit 1")
    code, message = _pull(engine)
    assert code == 1
    assert len(message.splitlines()) == 1
    for remedy in ("https_proxy", "company_ca", "quay.io", "pull_secret", "archive", "./lab demo"):
        assert remedy in message


# --- archive ---


@pytest.fixture
def archived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(images, "UPLOADS", f"{tmp_path}/upload-")
    (tmp_path / "images.tar").touch()
    return settings(image_source="archive", image_archive=tmp_path / "images.tar")


def test_archive_is_uploaded_loaded_and_removed(archived: Settings) -> None:
    image = redis.image(archived)
    made = FakeHost().operate(images.present, images=[image], settings=archived)
    (upload,) = [each for each in made if isinstance(each, FileUploadCommand)]
    assert upload.src == str(archived.image_archive)
    after = [text(each) for each in made[made.index(upload) + 1 :]]
    assert f"mv {upload.dest} $own && docker load --input $own" in after[0]


def test_archive_of_an_ssh_user_waits_on_disk(archived: Settings) -> None:
    """pyinfra's own place is /tmp, which may be in memory, and a failed upload stays there."""
    image = redis.image(archived)
    (begin, upload, *_), (_, another, *_) = (
        FakeHost().operate(images.present, images=[image], settings=archived) for _ in range(2)
    )
    assert isinstance(upload, FileUploadCommand)
    assert isinstance(another, FileUploadCommand)
    assert str(upload.remote_temp_filename).startswith(images.UPLOADS)
    assert upload.remote_temp_filename != another.remote_temp_filename
    assert text(begin).endswith(f"rm -f {images.UPLOADS}*")


def test_archive_without_the_image_says_how_to_make_one(archived: Settings, shell: Shell) -> None:
    image = redis.image(archived)
    shell.stub("docker", "exit 1")
    *_, check = FakeHost().operate(images.present, images=[image], settings=archived)
    done = shell.run(text(check))
    assert done.returncode == 1
    assert f"does not hold {image.reference}" in done.stderr
    assert "docker save --output FILE" in done.stderr


def test_a_failed_load_fails_and_leaves_no_file(
    archived: Settings, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "IMAGE_ARCHIVES", str(tmp_path / "archives"))
    shell.stub("docker", "exit 3")
    image = redis.image(archived)
    begin, _, load, _ = FakeHost().operate(images.present, images=[image], settings=archived)
    assert shell.run(text(begin)).returncode == 0
    (tmp_path / "archives" / "archive.tar").touch()
    assert shell.run(text(load)).returncode == 3
    assert not (tmp_path / "archives").exists()


def test_what_a_killed_load_has_left_goes(
    archived: Settings, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "IMAGE_ARCHIVES", str(tmp_path / "archives"))
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "archive.tar.4711").touch()
    image = redis.image(archived)
    begin, *_ = FakeHost().operate(images.present, images=[image], settings=archived)
    assert shell.run(text(begin)).returncode == 0
    assert list((tmp_path / "archives").iterdir()) == []


# --- packages ---


def test_packaged_images_are_built_on_their_base() -> None:
    image = packaged_image("redis", "8.0")
    wanted = settings(image_source="packages")
    forget, base, build = FakeHost().operate(images.present, images=[image], settings=wanted)
    assert text(forget) == f"rm -f {note_path(image.reference)}"
    assert base_image().reference in text(base)
    assert base64.b64decode(stdin(base)).startswith(b"#!")
    assert f"--tag {image.reference}" in text(build)
    assert base64.b64decode(stdin(build))


def test_an_existing_base_is_not_built_again() -> None:
    host = FakeHost({Images: {base_image().reference: SEEN}})
    _, build = _present(host, packaged_image("redis", "8.0"), settings(image_source="packages"))
    assert "docker build" in build


@pytest.fixture
def builder(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """An engine that has no image yet."""
    monkeypatch.setattr(commands, "LOCK", str(tmp_path / "lock"))
    shell.stub("docker", 'case "$*" in *inspect*) exit 1 ;; esac')
    return shell


def _build(**data: object) -> StringCommand:
    wanted = settings(image_source="packages", **data)
    image = packaged_image("redis", "8.0")
    *_, build = FakeHost().operate(images.present, images=[image], settings=wanted)
    assert isinstance(build, StringCommand)
    return build


def test_build_goes_through_the_proxy(builder: Shell) -> None:
    proxy = "http://[2001:db8::1]:3128/"
    build = _build(http_proxy=proxy)
    assert builder.run(build, stdin(build)).returncode == 0
    assert f"--build-arg=http_proxy={proxy} -" in builder.calls[-1]


def test_an_incomplete_context_is_not_built(builder: Shell) -> None:
    """Docker would accept it, and the image's name is derived from the complete context."""
    build = _build()
    assert builder.run(build, stdin(build)[:2000]).returncode != 0
    assert builder.calls == []


def test_an_image_that_a_killed_run_has_built_meanwhile_is_not_built_again(builder: Shell) -> None:
    builder.stub("docker", "exit 0")
    build = _build()
    assert builder.run(build, stdin(build)).returncode == 0
    assert not [call for call in builder.calls if call.startswith("docker build")]
