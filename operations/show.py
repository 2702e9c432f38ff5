"""Print who runs what in an inventory, and who connects to whom; no host is contacted.

``./lab show`` calls it: python -m operations.show INVENTORY [ARGUMENTS]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pydantic import SecretStr

from operations.runtime import inventories
from quaylab import picture, topology
from quaylab.checks import command_line, inventory_file
from quaylab.openshift.layout import GROUP
from quaylab.problems import Problems, Refusal, refuse
from quaylab.secrets import credentials
from quaylab.secrets.certificates import ServerCertificate
from quaylab.services import SERVICES
from quaylab.services.base import Context
from quaylab.settings.loading import HostInput, load
from quaylab.versions import quay_version

# For a host without `address`: it reports its only address to a run.
UNKNOWN = "(its own address)"


def main(arguments: list[str]) -> int:
    """Print the picture; return 1 if the inventory is refused."""
    given = _options(arguments)
    data = [*given.more_data, *given.data]
    try:
        refuse(command_line.data_problems(data))
        context = _context(inventories.read(given.inventory, data))
    except (Refusal, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if given.mermaid:
        print(picture.mermaid(context))
    else:
        print(picture.text(context, quay_version(context.settings)))
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("./lab show", description=__doc__.partition("\n")[0])
    parser.add_argument("inventory", type=Path, metavar="INVENTORY")
    parser.add_argument("more_data", nargs="*", metavar="KEY=VALUE", help="the same as --data")
    parser.add_argument("--data", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--mermaid", action="store_true", help="as a flowchart for a page")
    return parser.parse_intermixed_args(arguments)


def _context(hosts: list[HostInput]) -> Context:
    """Return what a picture needs of a run; it has no secrets.

    Raises:
        Refusal: the settings, or the services' places.
    """
    refuse(
        f"{GROUP}: a registry in a cluster has no machines to show; ./lab up --dry shows what it "
        "would make"
        for host in hosts
        if GROUP in host.groups
    )
    settings, host_settings = load(hosts)
    groups = topology.groups(hosts)
    problems = Problems(inventory_file.group_problems(hosts, ()))
    for service in SERVICES:
        problems += service.setting_problems(settings, groups)
    refuse(problems)
    reported = {host.name: (UNKNOWN,) for host in hosts}
    layout = topology.build(settings, hosts, host_settings, reported)
    nothing = ServerCertificate("", SecretStr(""), None)
    return Context(settings, layout, credentials.generate(), nothing, nothing, {})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
