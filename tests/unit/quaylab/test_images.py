"""Images: their source, and references that follow the content."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from quaylab import images


@pytest.fixture
def contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small build contexts instead of the project's own."""
    for part in ("base", "quay", "redis"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "Dockerfile").write_text(f"FROM {part}\n")
    (tmp_path / "redis" / "conf.d").mkdir()
    (tmp_path / "redis" / "conf.d" / "redis.conf").write_text("port 6379\n")
    (tmp_path / "base" / "build").write_text("#!/bin/sh\n")
    monkeypatch.setattr(images, "IMAGES", tmp_path)
    return tmp_path


def test_packaged_images_are_based_on_the_base_image() -> None:
    image = images.packaged_image("redis", "8.0")
    assert dict(image.arguments)["BASE"] == images.base_image().reference


@pytest.mark.parametrize(("source", "others"), [("registry", 2), ("packages", 2), ("archive", 0)])
def test_a_derived_image_comes_after_its_bases_unless_an_archive_holds_it(
    contexts: Path, source: str, others: int
) -> None:
    base, more = (images.Image(f"registry.example.com/{name}:1", source) for name in "ab")
    own = images.derived_image("redis", base, {"MORE": more.reference})
    assert own.source == source
    assert images.with_bases(own, base, more) == (*[base, more][:others], own)


def _edit(contexts: Path) -> None:
    (contexts / "redis" / "conf.d" / "redis.conf").write_text("port 6380\n")


def _add(contexts: Path) -> None:
    (contexts / "redis" / "more").write_text("")


def _rename(contexts: Path) -> None:
    (contexts / "redis" / "conf.d").rename(contexts / "redis" / "conf")


def _make_executable(contexts: Path) -> None:
    (contexts / "redis" / "Dockerfile").chmod(0o755)


def _edit_base(contexts: Path) -> None:
    (contexts / "base" / "build").write_text("#!/bin/sh -e\n")


@pytest.mark.parametrize("change", [_edit, _add, _rename, _make_executable, _edit_base])
def test_reference_changes_with(change: Callable[[Path], None], contexts: Path) -> None:
    before = images.packaged_image("redis", "8.0").reference
    change(contexts)
    assert images.packaged_image("redis", "8.0").reference != before


def _compile(contexts: Path) -> None:
    cache = contexts / "redis" / "__pycache__"
    cache.mkdir()
    (cache / "module.pyc").write_bytes(b"\0")


def _edit_another(contexts: Path) -> None:
    (contexts / "quay" / "Dockerfile").write_text("FROM other\n")


def _narrow(contexts: Path) -> None:
    (contexts / "redis" / "Dockerfile").chmod(0o600)


@pytest.mark.parametrize("change", [_compile, _edit_another, _narrow])
def test_reference_stays_with(change: Callable[[Path], None], contexts: Path) -> None:
    before = images.packaged_image("redis", "8.0")
    change(contexts)
    assert images.packaged_image("redis", "8.0") == before


def test_archive_holds_the_context(contexts: Path) -> None:
    content = io.BytesIO(images.context_archive(contexts / "redis"))
    with tarfile.open(fileobj=content) as archive:
        assert archive.getnames() == ["Dockerfile", "conf.d/redis.conf"]
        member = archive.extractfile("conf.d/redis.conf")
        assert member and member.read() == b"port 6379\n"


def test_archive_is_the_same_for_the_same_content(contexts: Path) -> None:
    before = images.context_archive(contexts / "redis")
    path = contexts / "redis" / "Dockerfile"
    path.write_text(path.read_text())
    assert images.context_archive(contexts / "redis") == before
