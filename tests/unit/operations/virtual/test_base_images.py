"""Base images: a fetched one is used only if it is complete and has the right checksum."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from facts.libvirt import Libvirt
from operations.runtime.commands import LOCK
from operations.virtual import base_images
from quaylab.virtual.found import Hypervisor
from quaylab.virtual.lab import IMAGES
from tests.unit.fake_host import FakeHost
from tests.unit.shell import Shell
from tests.unit.virtual import bare, lab, there

CONTENT = b"an image\n"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = "0" * 64


def _host(report: Hypervisor) -> FakeHost:
    return FakeHost({Libvirt: report}, "@local")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.qcow2"
    path.write_bytes(CONTENT)
    return path


def _fetch(shell: Shell, folder: Path, qcow2: bool = True, **image: str) -> tuple[str, list[Path]]:
    """Run the command in a folder; return its standard error, and the files there."""
    made = lab(**image)
    (command,) = _host(bare(made)).shell(base_images.present, lab=made)
    kind = "qcow2" if qcow2 else "raw"
    shell.stub("qemu-img", f"""echo '    "format": "{kind}",'""")
    images = folder / "images"
    done = shell.run(command.replace(IMAGES, str(images)).replace(LOCK, str(folder / "lock")))
    assert (done.returncode == 0) == (not done.stderr)
    return done.stderr, list(images.iterdir())


@pytest.mark.parametrize(
    "checksum",
    [f"sha256:{DIGEST}", f"sha512:{hashlib.sha512(CONTENT).hexdigest()}"],
    ids=["sha256", "sha512"],
)
def test_an_image_with_its_checksum(
    shell: Shell, tmp_path: Path, source: Path, checksum: str
) -> None:
    error, (image,) = _fetch(shell, tmp_path, image_uri=f"file://{source}", image_checksum=checksum)
    assert error == ""
    assert image.read_bytes() == CONTENT
    assert image.name == f"quaylab-base-{checksum[7:23]}.qcow2"


def test_a_wrong_checksum_leaves_nothing(shell: Shell, tmp_path: Path, source: Path) -> None:
    wanted = f"sha256:{OTHER}"
    error, left = _fetch(shell, tmp_path, image_uri=f"file://{source}", image_checksum=wanted)
    assert error.startswith(
        f"image_checksum: file://{source} has sha256:{DIGEST}, wanted is {OTHER}"
    )
    assert left == []


def test_an_address_is_never_run_by_the_shell(shell: Shell, tmp_path: Path) -> None:
    """An address may have these of a shell's special characters; others are refused."""
    shell.stub("run", ":")
    source = tmp_path / "a&run&?~=%41.qcow2"
    source.write_bytes(CONTENT)
    for checksum in (f"sha256:{OTHER}", f"sha256:{DIGEST}"):
        error, _ = _fetch(shell, tmp_path, image_uri=f"file://{source}", image_checksum=checksum)
        assert (f"image_checksum: file://{source} has sha256:{DIGEST}" in error) == (
            OTHER in checksum
        )
    assert "run" not in {call.split()[0] for call in shell.calls}


def test_no_such_image(shell: Shell, tmp_path: Path) -> None:
    error, left = _fetch(shell, tmp_path, image_uri="file:///nowhere/a.qcow2")
    assert "image_uri: file:///nowhere/a.qcow2 can't be fetched" in error
    assert left == []


def test_an_image_in_another_format(shell: Shell, tmp_path: Path, source: Path) -> None:
    error, left = _fetch(
        shell,
        tmp_path,
        qcow2=False,
        image_uri=f"file://{source}",
        image_checksum=f"sha256:{DIGEST}",
    )
    assert error.startswith(f"image_uri: file://{source} is not a qcow2 image")
    assert left == []


@pytest.mark.parametrize(
    "line",
    [f"{DIGEST}  source.qcow2", f"{DIGEST} *source.qcow2", f"SHA256 (source.qcow2) = {DIGEST}"],
    ids=["text", "binary", "BSD"],
)
def test_a_list_of_checksums(shell: Shell, tmp_path: Path, source: Path, line: str) -> None:
    shell.stub("curl", f"printf '%s\\n' '{OTHER}  another.qcow2' '{line}'")
    error, left = _fetch(
        shell,
        tmp_path,
        image_uri=f"file://{source}",
        image_checksum="sha256:https://example.com/SHA256SUMS",
    )
    assert error == ""
    assert len(left) == 1


def test_a_list_without_the_image(shell: Shell, tmp_path: Path, source: Path) -> None:
    shell.stub("curl", f"echo '{DIGEST}  another.qcow2'")
    error, left = _fetch(
        shell,
        tmp_path,
        image_uri=f"file://{source}",
        image_checksum="sha256:https://example.com/SHA256SUMS",
    )
    assert "wanted is one, but the list has none of it" in error
    assert left == []


def test_a_download_goes_through_the_proxy(shell: Shell, tmp_path: Path) -> None:
    shell.stub("curl", 'test "$https_proxy" = http://proxy:1 && printf "an image\\n" >"$6"')
    made = lab(image_checksum=f"sha256:{DIGEST}", https_proxy="http://proxy:1")
    (command,) = _host(bare(made)).shell(base_images.present, lab=made)
    shell.stub("qemu-img", """echo '"format": "qcow2"'""")
    done = shell.run(command.replace(IMAGES, str(tmp_path)).replace(LOCK, str(tmp_path / "lock")))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"quaylab-base-{DIGEST[:16]}.qcow2").read_bytes() == CONTENT


def test_an_existing_image_is_not_fetched() -> None:
    host = _host(there(lab()))
    assert host.shell(base_images.present, lab=lab()) == []
    assert host.noops[0].endswith("is there")
