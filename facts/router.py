"""Where a router leads Quay's connections."""

from __future__ import annotations

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from facts.balancer import statistics
from facts.engines import host_engine
from quaylab.services.tcp_proxy import STATISTICS


class Router(FactBase[dict[str, list[str]] | None]):
    """The members to which a router leads at the moment, by service; None if it doesn't answer.

    + container: the router's container
    """

    def command(self, container: str) -> str:
        return host_engine().output_of(container, STATISTICS)

    @staticmethod
    def default() -> dict[str, list[str]] | None:
        return None

    def process(self, output: list[str]) -> dict[str, list[str]] | None:
        try:
            rows = statistics(output)
        except IndexError:
            return None
        try:
            found: dict[str, list[str]] = {
                row["pxname"]: [] for row in rows if row["svname"] == "BACKEND"
            }
            for service, members in found.items():
                own = [row for row in rows if row["pxname"] == service]
                # "UP 1/2" after a failed check: it serves until another one fails.
                up = [row for row in own if str(row["status"]).startswith("UP")]
                servers = [row for row in up if row["svname"] not in ("FRONTEND", "BACKEND")]
                active = [row for row in servers if row["act"] == "1"] or servers[:1]
                members += [row["svname"] for row in active]
            return found
        except KeyError as error:
            raise FactProcessError(f"HAProxy's answer can't be read: {error}") from error
