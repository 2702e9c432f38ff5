"""A registry in a cluster by the template method: from nothing to its removal."""

from __future__ import annotations

import time

from tests.openshift.conftest import Site


def test_first_run(site: Site) -> None:
    for i in range(2):
        n = len(site.api.seen)
        t = time.time()
        result = site.run("-vvv")
        open(f"/tmp/run{i}.txt", "w").write(result.output)
        assert result.code == 0, result.output
        print(len(site.api.seen) - n, time.time() - t)
    assert site.dry() == []
