"""Images: pulled, loaded from an archive, or built."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from secrets import token_hex

from pyinfra import host
from pyinfra.api import FileUploadCommand, StringCommand, operation
from pyinfra.api.command import PyinfraCommand

from facts.engines import host_engine
from facts.images import Images
from operations.hosts import files
from operations.runtime.commands import encoded, fail, one_at_a_time, quoted, receive
from operations.runtime.observation import ask_each
from quaylab.checks.fetched_images import note, note_path, problems
from quaylab.images import Image, base_image, context_archive
from quaylab.paths import IMAGE_ARCHIVES
from quaylab.settings.loading import Settings

# Where pyinfra puts an upload of an SSH user that isn't root, before root copies it: on disk, while
# /tmp may be in memory.
UPLOADS = "/var/tmp/quaylab-upload-"


@operation()
def present(images: Iterable[Image], settings: Settings) -> Generator[PyinfraCommand]:
    """Fetch missing images, and refuse an image that differs from the one first fetched.

    + images: the images with their source; there is no fallback from one source to another
    + settings: the run's settings, for archive, login and proxy

    An image's identity is recorded as soon as the image is there. If its name means another image
    now, the run is refused: with the plan, or here if this run has fetched it.
    """
    wanted = {image.reference: image for image in images}
    found = ask_each(Images, wanted)
    missing = [image for reference, image in wanted.items() if reference not in found]
    if missing:
        if built := [note_path(image.reference) for image in missing if image.context]:
            # Each build has a new identity, so the note of the last one goes.
            yield StringCommand("rm -f", quoted(*built))
        yield from _fetch(missing, settings)
        # As they are now; while the run is planned nothing was fetched.
        found = found | host.get_fact(Images, references=[each.reference for each in missing])
    present_images = {reference: found[reference] for reference in wanted if reference in found}
    if changed := list(problems(host.name, present_images, host_engine())):
        for image in missing:
            if image.reference in present_images and present_images[image.reference].has_changed:
                yield StringCommand(host_engine().remove_image(image.reference))
        yield fail("\n".join(changed))
        return
    new = [reference for reference, state in present_images.items() if not state.remembered]
    if not (missing or new):
        host.noop(f"present: {', '.join(wanted)}")
    if new:
        yield files.write(*(note(reference, present_images[reference]) for reference in new))


def _fetch(missing: list[Image], settings: Settings) -> Generator[PyinfraCommand]:
    if settings.image_source == "archive":
        yield from _load(missing, settings)
    elif settings.image_source == "registry":
        for image in missing:
            yield _build(image, settings) if image.context else _pull(image, settings)
    else:
        base = base_image()
        if not ask_each(Images, [base.reference]):
            yield _build_base(base)
        for image in missing:
            yield _build(image, settings)


def _pull(image: Image, settings: Settings) -> StringCommand:
    registry = image.reference.partition("/")[0]
    message = (
        f"{image.reference} can't be pulled. Next steps: behind a proxy set https_proxy and "
        f"company_ca; for a login to {registry} set pull_secret; without a network set "
        "image_source=archive; to try things out without any registry: ./lab demo"
    )
    pull = host_engine().pull(
        image.reference, settings.pull_secret_user, has_secret=settings.pull_secret is not None
    )
    return StringCommand(pull, "|| {", fail(message), "; }")


def _load(missing: list[Image], settings: Settings) -> Generator[PyinfraCommand]:
    assert settings.image_archive is not None  # checked with the plan
    archive = f"{IMAGE_ARCHIVES}/archive.tar"
    # What a killed run has left goes first.
    yield StringCommand(f"rm -rf {IMAGE_ARCHIVES} && mkdir -p {IMAGE_ARCHIVES} && rm -f {UPLOADS}*")
    # Everybody may write beside it, so nobody knows its name beforehand.
    upload = f"{UPLOADS}{token_hex(8)}"
    yield FileUploadCommand(str(settings.image_archive), archive, remote_temp_filename=upload)
    # Under a unique name, so that a killed run's command doesn't remove this run's file.
    yield StringCommand(
        f"own={archive}.$$; mv {archive} $own && {host_engine().load('$own')}; loaded=$?;",
        f"rm -f $own; rmdir {IMAGE_ARCHIVES} 2>/dev/null; exit $loaded",
    )
    for image in missing:
        names = " ".join(each.reference for each in missing)
        message = (
            f"{settings.image_archive} does not hold {image.reference}; make it anew with: "
            f"docker save --output FILE {names}"
        )
        yield StringCommand(host_engine().has_image(image.reference), "|| {", fail(message), "; }")


def _build_base(image: Image) -> StringCommand:
    assert image.context is not None  # a packaged image has one
    script = (image.context / "build").read_bytes()
    build = StringCommand(host_engine().build_base(image.reference, '"$source"'))
    return _build_from(image, script, build)


def _build(image: Image, settings: Settings) -> StringCommand:
    assert image.context is not None  # a packaged image has one
    arguments = dict(image.arguments)
    proxies = {"http_proxy": settings.http_proxy, "https_proxy": settings.https_proxy}
    arguments |= {name: value for name, value in proxies.items() if value}
    build = StringCommand(host_engine().build(image.reference, arguments, '"$source"'))
    return _build_from(image, context_archive(image.context), build)


def _build_from(image: Image, source: bytes, build: StringCommand) -> StringCommand:
    """Return a command that runs a build with ``source`` in the file $source.

    It waits for the build of a killed run, and does nothing if that has made the image.
    """
    missing = StringCommand(host_engine().has_image(image.reference))
    return StringCommand(
        "source=$(mktemp) && export source &&", receive(source, StringCommand('"$source"')), "&&",
        one_at_a_time(StringCommand(missing, "||", build)),
        '; made=$?; rm -f "$source"; exit $made',
        _stdin=encoded(source),
    )  # fmt: skip
