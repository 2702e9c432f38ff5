"""The script that copies blobs, with moto's S3 in place of the store."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import urllib3
from botocore.exceptions import IncompleteReadError
from botocore.response import StreamingBody
from moto.server import ThreadedMotoServer

from quaylab.scripts import copy_blobs
from quaylab.scripts.copy_blobs import BlobCopy, Problem, Store, key
from tests.unit.quaylab.small_store import Answer, Request, certificate, small_store

HERE, BUCKET, PATH = "127.0.0.1", "quay-storage", "/datastorage/registry"
KEYS = {"aws_access_key_id": "an-access-key", "aws_secret_access_key": "a-secret-key"}
LAYERS = [b"a layer", b"", b"another layer", b"large " * 100]


def _name(content: bytes) -> str:
    """Return the path of a blob, as Quay's LocalStorage has it."""
    name = hashlib.sha256(content).hexdigest()
    return f"sha256/{name[:2]}/{name}"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(HERE, port=0)
    server.start()
    yield f"http://{HERE}:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def client(moto: str) -> Iterator[Any]:
    found = boto3.client("s3", endpoint_url=moto, region_name="us-east-1", **KEYS)
    found.create_bucket(Bucket=BUCKET)
    yield found
    urllib3.request("POST", f"{moto}/moto-api/reset")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The folder of the blobs: four of Quay's, one file without a digest, one unfinished push."""
    source = tmp_path / "registry"
    for content in LAYERS:
        _write(source, _name(content), content)
    _write(source, "userfiles/a file", b"what a user has sent")
    _write(source, "uploads/0f8b", b"half a layer")
    return source


@pytest.fixture
def task(moto: str, client: Any, source: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "source": str(source),
        "record": str(tmp_path / "verified"),
        "place": "default s3 here",
        "url": moto,
        "region": None,
        "bucket": BUCKET,
        "path": PATH,
        "keys": KEYS,
        "is_s3": True,
        "authorities": [],
        "proxy": None,
        "is_last": False,
    }


def _write(source: Path, name: str, content: bytes) -> None:
    path = source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _objects(client: Any) -> dict[str, bytes]:
    """Return the contents of all objects, by key."""
    found = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    keys = [each["Key"] for each in found]
    return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the objects that are written, in order."""
    keys: list[str] = []
    write = Store.write

    def record(self: Store, key: str, path: str, size: int) -> None:
        keys.append(key)
        write(self, key, path, size)

    monkeypatch.setattr(Store, "write", record)
    return keys


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/datastorage/registry", "datastorage/registry/sha256/ab"),
        ("blobs", "blobs/sha256/ab"),
        ("/", "sha256/ab"),
    ],
)
def test_a_key_is_the_one_that_quays_driver_looks_for(path: str, expected: str) -> None:
    assert key(path, "sha256/ab") == expected


def test_everything_but_unfinished_pushes_is_copied(task: dict[str, Any], client: Any) -> None:
    BlobCopy(task).run()
    contents = {_name(content): content for content in LAYERS}
    contents["userfiles/a file"] = b"what a user has sent"
    assert _objects(client) == {
        f"datastorage/registry/{name}": content for name, content in contents.items()
    }


def test_it_is_encrypted_at_rest_as_by_quays_driver_for_s3_alone(
    task: dict[str, Any], client: Any
) -> None:
    BlobCopy(task).run()
    name = key(PATH, _name(LAYERS[0]))
    assert client.head_object(Bucket=BUCKET, Key=name)["ServerSideEncryption"] == "AES256"
    other = {**task, "is_s3": False, "path": "/other", "place": "default radosgw here"}
    BlobCopy(other).run()
    name = key("/other", _name(LAYERS[0]))
    assert "ServerSideEncryption" not in client.head_object(Bucket=BUCKET, Key=name)


def test_a_second_run_copies_only_what_is_new(
    task: dict[str, Any], source: Path, written: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    BlobCopy(task).run()
    written.clear()
    _write(source, _name(b"pushed meanwhile"), b"pushed meanwhile")
    BlobCopy({**task, "is_last": True}).run()
    assert written == [key(PATH, _name(b"pushed meanwhile"))]
    *_, first, last = capsys.readouterr().out.splitlines()
    assert first == "1 files to copy, 0.00 GB; 5 are verified"
    assert last == "all 6 files, 0.00 GB, are in the store and verified"


def test_what_is_there_already_is_read_and_not_sent_again(
    task: dict[str, Any], written: list[str]
) -> None:
    BlobCopy(task).run()
    Path(task["record"]).unlink()
    written.clear()
    BlobCopy({**task, "is_last": True}).run()
    assert written == []


def test_the_record_of_another_store_does_not_count(
    task: dict[str, Any], client: Any, written: list[str]
) -> None:
    BlobCopy(task).run()
    client.create_bucket(Bucket="another")
    BlobCopy({**task, "bucket": "another", "place": "default s3 another"}).run()
    assert len(written) == 10


def test_a_record_that_ends_in_half_a_line(task: dict[str, Any], written: list[str]) -> None:
    BlobCopy(task).run()
    record = Path(task["record"])
    record.write_text(record.read_text()[:-20])
    written.clear()
    BlobCopy(task).run()
    assert written == [], "one is read again, the others are known"
    assert len(record.read_text().splitlines()) == 6


@pytest.mark.parametrize("content", [b"changed", None], ids=["other content", "gone"])
def test_an_object_that_was_changed_after_it_was_verified(
    task: dict[str, Any], client: Any, content: bytes | None
) -> None:
    BlobCopy(task).run()
    name = key(PATH, _name(LAYERS[0]))
    if content:
        client.put_object(Bucket=BUCKET, Key=name, Body=content)
    else:
        client.delete_object(Bucket=BUCKET, Key=name)
    BlobCopy({**task, "is_last": True}).run()
    assert _objects(client)[name] == LAYERS[0]


def test_a_file_without_a_digest_that_has_changed(
    task: dict[str, Any], source: Path, client: Any
) -> None:
    BlobCopy(task).run()
    _write(source, "userfiles/a file", b"what a user HAS sent")
    BlobCopy({**task, "is_last": True}).run()
    assert _objects(client)[key(PATH, "userfiles/a file")] == b"what a user HAS sent"


def test_a_large_file_is_sent_in_parts(
    task: dict[str, Any], source: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 5 * copy_blobs.MEGABYTE  # the least that S3 takes
    monkeypatch.setattr(copy_blobs, "PART", part)
    content = bytes(2 * part + 17)
    _write(source, _name(content), content)
    # What a killed run has left, and what is none of ours.
    left = [key(PATH, _name(content)), "of another"]
    for name in left:
        client.create_multipart_upload(Bucket=BUCKET, Key=name)
    BlobCopy(task).run()
    assert _objects(client)[left[0]] == content
    assert client.head_object(Bucket=BUCKET, Key=left[0])["ETag"].endswith('-3"')
    (other,) = client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert other["Key"] == "of another"


def test_a_damaged_blob_is_named_and_not_sent(
    task: dict[str, Any], source: Path, client: Any
) -> None:
    name = _name(LAYERS[0])
    _write(source, name, b"a lajer")
    with pytest.raises(Problem, match=f"^{name}: damaged in the volume"):
        BlobCopy(task).run()
    assert key(PATH, name) not in _objects(client)
    assert len(_objects(client)) == 4, "the others are copied"


def test_a_store_that_gives_back_another_content(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Store.read

    def falsified(self: Store, key: str) -> tuple[str, str]:
        found, etag = read(self, key)
        return ("0" * 64 if "userfiles" in key else found), etag

    monkeypatch.setattr(Store, "read", falsified)
    with pytest.raises(Problem, match="userfiles/a file: the store gave back another content"):
        BlobCopy(task).run()
    monkeypatch.undo()
    BlobCopy({**task, "is_last": True}).run()


@pytest.mark.parametrize("broken", [1, 4, 5])
def test_a_reading_that_breaks_off_is_begun_again(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    left, slept, read = [broken], list[float](), StreamingBody.iter_chunks

    def break_off(self: StreamingBody, size: int) -> Iterator[bytes]:
        yield from read(self, 2)
        if left[0]:
            left[0] -= 1
            raise IncompleteReadError(actual_bytes=2, expected_bytes=7)

    monkeypatch.setattr(StreamingBody, "iter_chunks", break_off)
    monkeypatch.setattr(copy_blobs, "WORKERS", 1)
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=slept.append)
    monkeypatch.setattr(copy_blobs, "time", clock)
    if broken > len(copy_blobs.PAUSES):
        with pytest.raises(IncompleteReadError):
            BlobCopy({**task, "is_last": True}).run()
    else:
        BlobCopy({**task, "is_last": True}).run()
    assert slept == [*copy_blobs.PAUSES[:broken]]


@pytest.mark.parametrize("is_last", [False, True], ids=["Quay serves", "Quay is stopped"])
def test_a_file_that_vanishes_while_it_is_copied(
    task: dict[str, Any], source: Path, monkeypatch: pytest.MonkeyPatch, is_last: bool
) -> None:
    read = Store.listing

    def and_remove(self: Store) -> dict[str, copy_blobs.Stored]:
        (source / "userfiles/a file").unlink()
        return read(self)

    monkeypatch.setattr(Store, "listing", and_remove)
    copy = BlobCopy({**task, "is_last": is_last})
    if is_last:
        with pytest.raises(Problem, match="userfiles/a file: changed although Quay is stopped"):
            copy.run()
    else:
        copy.run()


def test_passes_go_on_while_they_take_long(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(copy_blobs, "QUICK", 0)
    BlobCopy(task).run()
    passes = [line for line in capsys.readouterr().out.splitlines() if "to copy" in line]
    assert len(passes) == copy_blobs.MOST_PASSES
    BlobCopy({**task, "is_last": True}).run()
    assert capsys.readouterr().out.count("to copy") == 1


def test_no_blob_at_all(task: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    BlobCopy({**task, "source": str(tmp_path / "nothing"), "is_last": True}).run()


def test_a_volume_that_is_not_there(task: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Problem, match="is no folder; is the volume's disk mounted"):
        BlobCopy({**task, "source": str(tmp_path / "missing"), "is_last": True}).run()


def test_a_linked_folder_is_no_blob_of_quays(
    task: dict[str, Any], source: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Problem, match="linked in the volume is a link"):
        BlobCopy({**task, "is_last": True}).run()


def test_objects_that_the_volume_does_not_have_stay(
    task: dict[str, Any], source: Path, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    BlobCopy(task).run()
    (source / _name(LAYERS[0])).unlink()
    BlobCopy({**task, "is_last": True}).run()
    assert key(PATH, _name(LAYERS[0])) in _objects(client)
    assert "1 further objects are there" in capsys.readouterr().out


def test_a_link_is_no_file_of_quays(task: dict[str, Any], source: Path) -> None:
    (source / "pipe").symlink_to("/dev/null")
    with pytest.raises(Problem, match="pipe in the volume is no regular file"):
        BlobCopy(task).run()


def test_a_store_that_fails_ends_it_in_one_line(
    task: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({**task, "bucket": "missing"})))
    assert copy_blobs.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "NoSuchBucket" in line


def test_a_private_authority(
    task: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's certificate is verified, with the CAs of the settings."""
    monkeypatch.setattr(copy_blobs, "ATTEMPTS", 1)
    file = certificate(tmp_path, HERE)
    asked: list[Request] = []

    def script(request: Request) -> Answer:
        asked.append(request)
        return Answer(200, "<ListBucketResult/>")

    with small_store(script, file) as server:
        at = {**task, "url": f"https://{HERE}:{server.port}"}
        with pytest.raises(copy_blobs.BotoCoreError, match="certificate verify failed"):
            Store(at).listing()
        assert asked == []
        assert Store({**at, "authorities": [file.read_text()]}).listing() == {}


def test_a_proxy(task: dict[str, Any]) -> None:
    def script(request: Request) -> Answer:
        return Answer(200, "<ListBucketResult/>")

    with small_store(script) as server:
        at = {**task, "url": "http://store.invalid", "proxy": f"http://{HERE}:{server.port}"}
        assert Store(at).listing() == {}
        assert server.asked[0].path.startswith("http://store.invalid/")
