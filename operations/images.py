"""Images by their source: pulled, loaded from an archive, or built from packages."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable

from pyinfra import host
from pyinfra.api import FileUploadCommand, QuoteString, StringCommand, operation
from pyinfra.api.command import PyinfraCommand

from facts.containers import ImageIds
from operations.commands import encoded, fail, one_at_a_time, quoted, receive
from quaylab.images import Image, base_image, context_archive
from quaylab.parts import VAR
from quaylab.settings import Settings

DIRECTORY = f"{VAR}/images"


@operation()
def present(images: Iterable[Image], settings: Settings) -> Generator[PyinfraCommand]:
    """Have images on the host. There is no fallback from one source to another.

    + images: the images with their source
    + settings: the run's settings, for archive, login and proxy
    """
    wanted = {image.reference: image for image in images}
    base = base_image()
    found = host.get_fact(ImageIds, references=[*wanted, base.reference])
    missing = [image for reference, image in wanted.items() if reference not in found]
    if not missing:
        host.noop(f"present: {', '.join(wanted)}")
        return
    if settings.image_source == "archive":
        yield from _load(missing, settings)
    elif settings.image_source == "registry":
        for image in missing:
            yield _pull(image, settings)
    else:
        if base.reference not in found:
            yield _build_base(base)
        for image in missing:
            yield _build(image, settings)


def _pull(image: Image, settings: Settings) -> StringCommand:
    """Pull, and remember the digest that came: a tag that is moved later is refused."""
    name = hashlib.sha256(image.reference.encode()).hexdigest()[:16]
    memory = f"{DIRECTORY}/{name}"
    registry = image.reference.partition("/")[0]
    helpless = (
        f"{image.reference} can't be pulled. Next steps: behind a proxy set https_proxy and "
        f"company_ca; for a login to {registry} set pull_secret; without a network set "
        "image_source=archive; to try things out without any registry: ./lab demo"
    )
    moved = (
        f"{image.reference} is another image than the one pulled here before; nothing was "
        f"replaced. If the change is right, remove {memory} on this host and run again"
    )
    return StringCommand(
        f"home=$(getent passwd {settings.pull_secret_user} | cut -d: -f6);",
        'docker --config "$home/.docker" pull', QuoteString(image.reference), ">/dev/null",
        "|| {", fail(helpless), "; };",
        "digest=$(docker image inspect --format '{{join .RepoDigests \" \"}}'",
        QuoteString(image.reference), ");",
        f"mkdir -p {DIRECTORY};",
        f'if test -f {memory} && test "$(cat {memory})" != "$digest"; then',
        "docker image rm", QuoteString(image.reference), ">/dev/null;", fail(moved), "; fi;",
        f'printf "%s\\n" "$digest" >{memory}.new && mv {memory}.new {memory}',
    )  # fmt: skip


def _load(missing: list[Image], settings: Settings) -> Generator[PyinfraCommand]:
    assert settings.image_archive is not None  # checked with the plan
    archive = f"{DIRECTORY}/archive.tar"
    yield StringCommand(f"mkdir -p {DIRECTORY}")
    yield FileUploadCommand(str(settings.image_archive), archive)
    # By a name of its own, so that the end of a killed run's doesn't remove this one's.
    yield StringCommand(
        f"own={archive}.$$; mv {archive} $own && docker load --input $own >/dev/null; loaded=$?;",
        "rm -f $own; exit $loaded",
    )
    for image in missing:
        absent = (
            f"{settings.image_archive} does not hold {image.reference}; make it anew with: "
            f"docker save --output FILE {' '.join(each.reference for each in missing)}"
        )
        yield StringCommand(
            "docker image inspect", QuoteString(image.reference), ">/dev/null || {",
            fail(absent), "; }",
        )  # fmt: skip


def _build_base(image: Image) -> StringCommand:
    assert image.context is not None  # a packaged image has one
    script = (image.context / "build").read_bytes()
    return _made(image, script, StringCommand('sh "$0"', QuoteString(image.reference)))


def _build(image: Image, settings: Settings) -> StringCommand:
    assert image.context is not None  # a packaged image has one
    arguments = dict(image.arguments)
    proxies = {"http_proxy": settings.http_proxy, "https_proxy": settings.https_proxy}
    arguments |= {name: value for name, value in proxies.items() if value}
    build = StringCommand(
        # The classic builder: BuildKit needs a plug-in that Debian doesn't install with Docker.
        "DOCKER_BUILDKIT=0 docker build --tag", QuoteString(image.reference),
        quoted(*(f"--build-arg={name}={value}" for name, value in arguments.items())),
        '- <"$0" >/dev/null',
    )  # fmt: skip
    return _made(image, context_archive(image.context), build)


def _made(image: Image, source: bytes, build: StringCommand) -> StringCommand:
    """Build from a file with ``source``, unless a killed run's build, still at work, does it."""
    missing = StringCommand("docker image inspect", QuoteString(image.reference), ">/dev/null 2>&1")
    return StringCommand(
        "source=$(mktemp) &&", receive(source, StringCommand('"$source"')), "&&",
        one_at_a_time(StringCommand(missing, "||", build)), '"$source"; made=$?;',
        'rm -f "$source"; exit $made',
        _stdin=encoded(source),
    )  # fmt: skip
