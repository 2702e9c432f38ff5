"""Copy Quay's blobs from a volume to an object store, and read every one of them back.

It runs in a container of Quay's image, with the boto3 of Quay's own drivers, so it is one file and
uses no module of Quaylab. Its input is one JSON object on standard input:

    source    folder of the blobs, the `storage_path` of Quay's LocalStorage
    record    file that remembers what was verified, so that a killed run goes on where it was
    place     the store in one line; the record of another one does not count
    url, region, bucket, path
              the store, as Quay's driver has it
    keys      the arguments of boto3 with access key and secret key; none with a role
    is_s3     whether it is Quay's driver S3Storage, which signs and encrypts in its own way
    authorities, proxy
              further CAs (PEM), and the URL of a proxy or null
    is_last   whether Quay is stopped: then nothing may change, and all has to be there at the end

A file is known by its path below `source`. Not copied is `uploads/`: it has the parts of unfinished
pushes, which Quay's drivers for object stores keep in another form. Their clients push again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import where

# A blob of Quay's, named by its digest; with /data, one of the registry behind the stand-in.
NAMED = re.compile(r"(?:^|/)sha256/[0-9a-f]{2}/([0-9a-f]{64})(?:/data)?$")
UNFINISHED = "uploads"
WORKERS = 4
# How often a request is tried, with growing pauses: a store may be away for a while.
ATTEMPTS = 10
# Seconds before an object is read again whose reading broke off.
PAUSES = (1.0, 5.0, 15.0, 30.0)
MEGABYTE = 1024**2
# A larger file is sent in parts of at least this size. S3 takes 10,000 of them.
PART, MOST_PARTS = 16 * MEGABYTE, 10_000
# Seconds: between two lines of progress; and what a pass may take so that Quay can be stopped.
INTERVAL, QUICK = 10.0, 60.0
# While more is pushed than is copied, further passes don't help.
MOST_PASSES = 5
# How many damaged files a message names.
NAMES = 5


class Problem(Exception):
    """Why the blobs are not all there, in words."""


class File(NamedTuple):
    """A file below the source; the time of its last change is in nanoseconds."""

    name: str
    size: int
    changed: int


class Stored(NamedTuple):
    """An object as the store lists it."""

    size: int
    etag: str


def files(source: str) -> dict[str, File]:
    """Return the files to copy, by name. One that vanishes meanwhile is left out."""
    if not Path(source).is_dir():
        raise Problem(f"{source} is no folder; is the volume's disk mounted?")
    found = {}
    for folder, folders, names in os.walk(source, onerror=_refuse_unreadable):
        if folder == source and UNFINISHED in folders:
            folders.remove(UNFINISHED)
        for name in folders:
            if Path(folder, name).is_symlink():
                linked = PurePosixPath(folder, name).relative_to(source)
                raise Problem(f"{linked} in the volume is a link; Quay makes none")
        for name in names:
            path = str(PurePosixPath(folder, name).relative_to(source))
            if file := look(source, path):
                found[path] = file
    return found


def look(source: str, name: str) -> File | None:
    """Return a file as it is now; None if it has vanished."""
    try:
        found = Path(source, name).stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise Problem(f"{name} in the volume is no regular file; Quay makes none of this kind")
    return File(name, found.st_size, found.st_mtime_ns)


def _refuse_unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def key(path: str, name: str) -> str:
    """Return an object's key as Quay's drivers make it (`_init_path` in its storage/cloud.py)."""
    joined = os.path.join(path, name)  # noqa: PTH118
    return joined[1:] if joined.startswith("/") else joined


def digest(chunks: Iterable[bytes]) -> str:
    sha256 = hashlib.sha256()
    for chunk in chunks:
        sha256.update(chunk)
    return sha256.hexdigest()


class VerifiedFiles:
    """The files that were verified: size and time of each, and the ETag of its object."""

    def __init__(self, path: str, place: str) -> None:
        self.known: dict[str, tuple[File, str]] = {}
        for line in _lines(path, place):
            try:
                name, size, changed, etag = json.loads(line)
            except ValueError:
                continue  # a killed run's last line
            self.known[name] = File(name, size, changed), etag
        # Anew, so that what follows does not go on in half a line.
        with open(f"{path}.new", "w") as file:
            file.write(f"{place}\n")
            file.writelines(_line(*each) for each in self.known.values())
        Path(f"{path}.new").replace(path)
        self._file = open(path, "a", buffering=1)  # noqa: SIM115  # open until the end

    def add(self, file: File, etag: str) -> None:
        self.known[file.name] = file, etag
        self._file.write(_line(file, etag))

    def has(self, file: File, stored: Stored | None) -> bool:
        """Whether a file was verified, and neither it nor its object has changed since."""
        return stored is not None and self.known.get(file.name) == (file, stored.etag)


def _lines(path: str, place: str) -> list[str]:
    try:
        with open(path) as file:
            first, *lines = file.read().splitlines() or [""]
    except FileNotFoundError:
        return []
    return lines if first == place else []


def _line(file: File, etag: str) -> str:
    return json.dumps([*file, etag]) + "\n"


class Store:
    """The bucket, with the settings of Quay's driver."""

    def __init__(self, task: dict[str, Any]) -> None:
        # botocore from 1.36 on sends checksums that older stores refuse; Quay's release does not.
        os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
        os.environ["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"
        self._bucket, self._path = task["bucket"], task["path"]
        self._options = {"ServerSideEncryption": "AES256"} if task["is_s3"] else {}
        self._client: Any = boto3.session.Session(**task["keys"]).client(
            "s3",
            endpoint_url=task["url"],
            region_name=task["region"],
            verify=_bundle(task["authorities"]),
            config=Config(
                signature_version="s3v4" if task["is_s3"] else None,
                retries={"mode": "standard", "max_attempts": ATTEMPTS},
                max_pool_connections=WORKERS,
                proxies=dict.fromkeys(("http", "https"), task["proxy"]) if task["proxy"] else {},
            ),
        )

    def key(self, name: str) -> str:
        return key(self._path, name)

    def listing(self) -> dict[str, Stored]:
        """Return the objects below the path, by key. Version 1 of the call is Google's too."""
        pages = self._client.get_paginator("list_objects").paginate(
            Bucket=self._bucket, Prefix=self.key("")
        )
        return {
            each["Key"]: Stored(each["Size"], each["ETag"])
            for page in pages
            for each in page.get("Contents", ())
        }

    def read(self, key: str) -> tuple[str, str]:
        """Return the sha256 of an object's content, and its ETag."""
        pauses = iter(PAUSES)
        while True:
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            try:
                return digest(found["Body"].iter_chunks(MEGABYTE)), found["ETag"]
            except BotoCoreError:
                # botocore tries a request again, but not the reading of its answer.
                pause = next(pauses, None)
                if pause is None:
                    raise
                time.sleep(pause)

    def write(self, key: str, path: str, size: int) -> None:
        with open(path, "rb") as content:
            if size <= PART:
                self._client.put_object(Bucket=self._bucket, Key=key, Body=content, **self._options)
            else:
                self._write_parts(key, content, max(PART, -(-size // MOST_PARTS)))

    def _write_parts(self, key: str, content: Any, size: int) -> None:
        target = {"Bucket": self._bucket, "Key": key}
        begun = self._client.create_multipart_upload(**target, **self._options)
        upload = {**target, "UploadId": begun["UploadId"]}
        parts = []
        try:
            for number, part in enumerate(iter(lambda: content.read(size), b""), 1):
                done = self._client.upload_part(**upload, PartNumber=number, Body=part)
                parts.append({"PartNumber": number, "ETag": done["ETag"]})
            self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException:
            self._client.abort_multipart_upload(**upload)
            raise

    def abort_unfinished(self, keys: set[str]) -> None:
        """Remove the parts that a killed run has sent: they are kept, unseen, for ever."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=self.key("")
        )
        try:
            found = [each for page in pages for each in page.get("Uploads", ())]
            for each in found:
                if each["Key"] in keys:
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"]
                    )
        except ClientError:
            pass  # Quay's keys need not have the right


def _bundle(authorities: list[str]) -> str:
    """Return a file with the public CAs and further ones, as Quay's start makes it."""
    with open(where()) as file:
        public = file.read()
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as bundle:
        bundle.write("\n".join([public, *authorities]))
    return bundle.name


class BlobCopy:
    """The copy of all files of a task."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._source: str = task["source"]
        self._is_last: bool = task["is_last"]
        self._store = Store(task)
        self._verified = VerifiedFiles(task["record"], task["place"])
        self._there: dict[str, Stored] = {}
        self._left: deque[File] = deque()
        # Of a pass: what is done, and names by what went wrong.
        self._done = self._bytes = 0
        self._changed: list[str] = []
        self._damaged: list[str] = []
        self._differing: list[str] = []

    def run(self) -> None:
        """Copy until all is there, or until so little is left that Quay can be stopped.

        Raises:
            Problem: a file could not be verified, or changes although Quay is stopped.
        """
        if not self._is_last:
            self._store.abort_unfinished({self._store.key(name) for name in files(self._source)})
        for _ in range(1 if self._is_last else MOST_PASSES):
            started = time.monotonic()
            self._pass()
            if problems := list(self._problems()):
                raise Problem("\n".join(problems))
            if time.monotonic() - started < QUICK:
                break

    def _pass(self) -> None:
        found, self._there = files(self._source), self._store.listing()
        self._left = deque(file for file in found.values() if not self._is_verified(file))
        self._done = self._bytes = 0
        self._changed = []
        total = sum(file.size for file in self._left)
        count = len(self._left)
        verified = len(found) - count
        print(f"{count} files to copy, {_gigabytes(total)} GB; {verified} are verified", flush=True)
        with ThreadPoolExecutor(WORKERS) as pool:
            jobs = [pool.submit(self._work) for _ in range(WORKERS)]
            while wait(jobs, INTERVAL).not_done:
                print(
                    f"{self._done} of {count} files, "
                    f"{_gigabytes(self._bytes)} of {_gigabytes(total)} GB",
                    flush=True,
                )
        for job in jobs:
            job.result()
        if self._is_last and not any(self._problems()):
            whole = _gigabytes(sum(file.size for file in found.values()))
            print(f"all {len(found)} files, {whole} GB, are in the store and verified", flush=True)
            if others := self._there.keys() - {self._store.key(name) for name in found}:
                print(f"{len(others)} further objects are there, no longer or never in the volume")

    def _is_verified(self, file: File) -> bool:
        return self._verified.has(file, self._there.get(self._store.key(file.name)))

    def _work(self) -> None:
        """Copy files, beside others who do the same, until none is left or one fails."""
        try:
            while True:
                try:
                    file = self._left.popleft()
                except IndexError:
                    return
                self._copy(file)
                self._done += 1
                self._bytes += file.size
        except BaseException:
            self._left.clear()
            raise

    def _copy(self, file: File) -> None:
        key, path = self._store.key(file.name), f"{self._source}/{file.name}"
        try:
            named = NAMED.search(file.name)
            wanted = named[1] if named else digest(_chunks(path))
            stored = self._there.get(key)
            if stored and stored.size == file.size and self._is_there(file, key, wanted):
                return
            is_damaged = named and digest(_chunks(path)) != wanted
            if not is_damaged:
                self._store.write(key, path, file.size)
                if self._is_there(file, key, wanted):
                    return
            if look(self._source, file.name) != file:
                self._changed.append(file.name)
            elif is_damaged:
                self._damaged.append(file.name)
            else:
                self._differing.append(file.name)
        except FileNotFoundError:
            self._changed.append(file.name)

    def _is_there(self, file: File, key: str, wanted: str) -> bool:
        """Read an object back; remember it if it is right, and the file has not changed."""
        found, etag = self._store.read(key)
        if found != wanted or look(self._source, file.name) != file:
            return False
        self._verified.add(file, etag)
        return True

    def _problems(self) -> Iterator[str]:
        if self._damaged:
            yield (
                f"{_names(self._damaged)}: damaged in the volume, the content has another digest "
                "than the name; restore them from a backup, or remove them and push their images "
                "again"
            )
        if self._differing:
            yield f"{_names(self._differing)}: the store gave back another content"
        if self._is_last and self._changed:
            yield f"{_names(self._changed)}: changed although Quay is stopped; who writes there?"


def _chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        yield from iter(lambda: file.read(MEGABYTE), b"")


def _gigabytes(size: int) -> str:
    return f"{size / 1000**3:.2f}"


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(sorted(names)[:NAMES]) + more


def main() -> int:
    try:
        BlobCopy(json.load(sys.stdin)).run()
    except (Problem, BotoCoreError, ClientError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
