"""Base images of VMs: each is fetched once, and used only when it is complete."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation

from operations.runtime.commands import fail, one_at_a_time
from operations.virtual.hypervisor import report
from quaylab.settings.loading import Settings
from quaylab.virtual import changes
from quaylab.virtual.lab import IMAGES, Image, Lab


@operation()
def present(lab: Lab) -> Generator[StringCommand]:
    """Fetch each base image once. An image is used only with the right checksum.

    + lab: the virtual lab
    """
    files = report(lab).files
    wanted = {each.image.path: each.image for each in lab.machines.values()}
    for path, image in wanted.items():
        if path in files:
            host.noop(f"{path} is there")
        else:
            yield one_at_a_time(_fetch(image, lab.settings))


def _fetch(image: Image, settings: Settings) -> StringCommand:
    uri, path, new = shlex.quote(image.uri), image.path, f"{image.path}.part"
    curl = "curl --fail --location --silent --show-error"
    if source := changes.local_path(image.uri):
        fetch = f"cp {shlex.quote(source)} {new}"
    else:
        fetch = f"{curl} --output {new} {uri}"
    digest = image.checksum.partition(":")[2]
    if "/" in digest:
        # GNU's lines, "DIGEST  FILE", or BSD's, "SHA256 (FILE) = DIGEST".
        wanted = (
            f"$({curl} {shlex.quote(digest)} | tr -d '*()' |"
            f" awk -v file={shlex.quote(image.uri.rpartition('/')[2])}"
            " '$2 == file { print $NF == file ? $1 : $NF }')"
        )
    else:
        wanted = digest
    return StringCommand(
        f"if test -e {path}; then exit 0; fi; {_proxy(settings)} mkdir -p {IMAGES}; rm -f {new};",
        fetch, "|| { rm -f", new, ";",
        fail(f"image_uri: {image.uri} can't be fetched; see above why"), "; };",
        f"wanted={wanted}; found=$({image.algorithm}sum <{new} | cut -d' ' -f1);",
        f'if test "$found" != "$wanted"; then rm -f {new};',
        f"printf 'image_checksum: %s has {image.algorithm}:%s, wanted is %s; nothing was kept\\n'",
        f'{uri} "$found" "${{wanted:-one, but the list has none of it}}" >&2;',
        "exit 1; fi;",
        f"if ! qemu-img info --output=json {new} | grep -q '\"format\": \"qcow2\"'; then",
        f"rm -f {new};", fail(f"image_uri: {image.uri} is not a qcow2 image"), "; fi;",
        f"chmod 0644 {new} && mv {new} {path}",
    )  # fmt: skip


def _proxy(settings: Settings) -> str:
    values = {
        "http_proxy": settings.http_proxy,
        "https_proxy": settings.https_proxy,
        "no_proxy": settings.no_proxy,
    }
    return "".join(
        f"export {name}={shlex.quote(value)};" for name, value in values.items() if value
    )
