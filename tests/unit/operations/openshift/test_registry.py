"""Where the cluster lets clients in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.context import ctx_state

from operations.openshift import kubectl, registry
from operations.runtime import observation
from quaylab.clients.registry import RegistryError
from quaylab.openshift.plan import ClusterPlan
from tests.unit.clusters import S3, SCOPE, describe
from tests.unit.fake_host import FakeHost


def test_an_address_that_comes_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    description = describe(openshift_exposure="loadbalancer", **S3)
    plan = SimpleNamespace(description=description, scope=SCOPE, access=None)
    addresses: list[list[dict[str, str]]] = [[], [{"ip": "192.0.2.1"}]]
    asked: list[dict[str, Any]] = []

    def existing(host: object, access: object, manifests: list[Any]) -> list[dict[str, Any]]:
        status = {"loadBalancer": {"ingress": addresses[len(asked)]}}
        asked.append({**manifests[0], "status": status})
        return asked[-1:]

    monkeypatch.setattr(kubectl, "existing", existing)
    host: Any = FakeHost()
    with host.current(), ctx_state.use(SimpleNamespace(is_executing=True, ops={})):
        observation.begin(host, {}, {})
        with pytest.raises(RegistryError, match="the cluster has given it no address"):
            registry.front_of(host, cast("ClusterPlan", plan))
        for _ in range(2):
            assert registry.front_of(host, cast("ClusterPlan", plan)) == "192.0.2.1"
    assert len(asked) == 2
