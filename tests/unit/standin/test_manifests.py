"""The stand-in's checks of manifests, which are those of a recorded Quay."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from quaylab.clients.sample_image import sample_image
from tests.unit.samples import ROOT

sys.path.append(str(ROOT / "images" / "quay"))

from standin.manifests import (
    DOCKER_IMAGE,
    DOCKER_LIST,
    DOCKER_SCHEMA_1,
    OCI_CONFIGURATION,
    OCI_IMAGE,
    ManifestError,
    check_configuration,
    parse,
)

WHOLE: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": []},
    "history": [],
}


def _image(media_type: str, **changes: Any) -> bytes:
    part = {"mediaType": OCI_CONFIGURATION, "size": 2, "digest": "sha256:c"}
    layer = {"mediaType": "a/layer", "size": 5, "digest": "sha256:l"}
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": part, "layers": [layer]}
    return json.dumps({**manifest, **changes}).encode()


def _without(*keys: str) -> bytes:
    return json.dumps({key: WHOLE[key] for key in WHOLE if key not in keys}).encode()


def test_an_image_names_its_parts() -> None:
    parsed = parse(DOCKER_IMAGE, _image(DOCKER_IMAGE))
    assert parsed.configuration == "sha256:c"
    assert [layer["digest"] for layer in parsed.layers] == ["sha256:l"]
    assert parsed.layers_size == 5


@pytest.mark.parametrize(
    ("media_type", "body", "reason"),
    [
        (
            DOCKER_IMAGE,
            b"{nope",
            "malformed manifest data: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)",
        ),
        (DOCKER_IMAGE, b"[]", "manifest data does not match schema: [] is not of type 'object'"),
        (
            OCI_IMAGE,
            _image(DOCKER_IMAGE),
            f"manifest data does not match schema: '{DOCKER_IMAGE}' is not one of ['{OCI_IMAGE}']",
        ),
        (
            DOCKER_SCHEMA_1,
            _image(DOCKER_IMAGE),
            "manifest data does not match schema: 'tag' is a required property",
        ),
        (
            DOCKER_LIST,
            b'{"schemaVersion": 2, "mediaType": "a"}',
            "manifest data does not match schema: 'manifests' is a required property",
        ),
        (
            DOCKER_IMAGE,
            _image(DOCKER_IMAGE, layers=[{"mediaType": "a/layer", "size": 1}]),
            "manifest data does not match schema: 'digest' is a required property",
        ),
    ],
    ids=["no JSON", "list", "other type", "schema 1", "list of nothing", "layer"],
)
def test_an_invalid_manifest_is_refused(media_type: str, body: bytes, reason: str) -> None:
    with pytest.raises(ManifestError) as error:
        parse(media_type, body)
    assert str(error.value) == reason


@pytest.mark.parametrize(
    ("media_type", "config", "reason"),
    [
        (DOCKER_IMAGE, _without(), None),
        (DOCKER_IMAGE, _without("architecture", "os"), None),
        (DOCKER_IMAGE, _without("history"), "'history' is a required property"),
        (DOCKER_IMAGE, _without("rootfs"), "'rootfs' is a required property"),
        (DOCKER_IMAGE, b"nope", "malformed config data"),
        (OCI_IMAGE, _without("history"), None),
        (OCI_IMAGE, _without("os"), "'os' is a required property"),
    ],
)
def test_a_configuration_that_quay_cannot_read_is_refused(
    media_type: str, config: bytes, reason: str | None
) -> None:
    parsed = parse(media_type, _image(media_type))
    if reason is None:
        check_configuration(parsed, config)
        return
    with pytest.raises(ManifestError, match=reason):
        check_configuration(parsed, config)


def test_the_configuration_of_a_chart_is_not_checked() -> None:
    chart = {
        "mediaType": "application/vnd.cncf.helm.config.v1+json",
        "size": 2,
        "digest": "sha256:c",
    }
    check_configuration(parse(OCI_IMAGE, _image(OCI_IMAGE, config=chart)), b"{}")


def test_the_image_of_quaylabs_verification_is_accepted() -> None:
    image = sample_image("content")
    check_configuration(parse(DOCKER_IMAGE, image.manifest), image.configuration)
