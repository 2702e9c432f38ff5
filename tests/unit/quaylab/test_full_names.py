"""Full names of images."""

from __future__ import annotations

import pytest

from quaylab.images import full_name


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("redis", "docker.io/library/redis"),
        ("redis:8", "docker.io/library/redis:8"),
        ("quaylab/redis:8-0123", "docker.io/quaylab/redis:8-0123"),
        ("docker.io/library/haproxy:3.2", "docker.io/library/haproxy:3.2"),
        ("localhost/quay", "localhost/quay"),
        ("registry:5000/quay", "registry:5000/quay"),
        ("quay.io/projectquay/quay@sha256:0", "quay.io/projectquay/quay@sha256:0"),
    ],
)
def test_full_name(reference: str, name: str) -> None:
    assert full_name(reference) == name
