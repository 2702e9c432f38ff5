"""keepalived: one of the balancers holds the virtual address. It runs as a unit of its own, so that
a configuration of the host's own is never touched."""

from __future__ import annotations

import ipaddress

from quaylab.hosts.machine import Machine
from quaylab.model import LOOPBACK, ManagedFile
from quaylab.paths import ETC
from quaylab.services.base import Context
from quaylab.services.haproxy_config import HEALTH

UNIT = "quaylab-keepalived.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
DIRECTORY = f"{ETC}/keepalived"
CONFIGURATION, CHECK = f"{DIRECTORY}/keepalived.conf", f"{DIRECTORY}/check"
# The unit copies its configuration there whenever keepalived loads it.
LOADED = "/run/quaylab-keepalived.conf"
# While it is there, HAProxy is about to start on this host, and Quay needs the address before: it
# leads to the ingress as well. SELinux lets keepalived see files in /run whose names begin so.
PENDING = "/run/keepalived-quaylab-pending"
PRIORITY = 100


def files(context: Context, host: str) -> tuple[ManagedFile, ...]:
    """Return the files of a balancer, which is connected."""
    return (
        ManagedFile(CONFIGURATION, configuration(context, host), mode=0o600),
        # Nobody else may write it, as keepalived runs it as root.
        ManagedFile(CHECK, _check(context.settings.balancer_status_port), mode=0o700),
        ManagedFile(UNIT_FILE, _UNIT),
    )


def configuration(context: Context, host: str) -> str:
    """Return keepalived.conf of a balancer.

    All begin as backups and never take the address from another one that has it: a machine that
    comes back causes no second interruption.
    """
    settings, topology = context.settings, context.topology
    # SELinux lets keepalived run shells, and no file of /etc. It takes no symbolic link like /bin.
    script = f"/usr/bin/bash {CHECK}"
    interface = interface_of(context.machines[host], str(settings.virtual_address))
    peers = "\n".join(
        f"        {topology.addresses[each]}" for each in topology.balancers if each != host
    )
    return f"""\
global_defs {{
    enable_script_security
    script_user root
}}

vrrp_script balancer {{
    script "{script}"
    interval 1
    timeout 2
    fall 2
    rise 2
}}

vrrp_instance registry {{
    state BACKUP
    nopreempt
    interface {interface}
    virtual_router_id {settings.virtual_router_id}
    priority {PRIORITY - topology.balancers.index(host)}
    advert_int 1
    # Linux takes no other owner of an address within a second: clients and routers that have just
    # asked would go on to the former one, until they are told again after 5 s.
    garp_master_delay 1
    unicast_src_ip {topology.addresses[host]}
    unicast_peer {{
{peers}
    }}
    virtual_ipaddress {{
        {settings.virtual_address}/32 dev {interface}
    }}
    track_script {{
        balancer
    }}
}}
"""


def interface_of(machine: Machine, address: str) -> str | None:
    """Return the interface whose network has an address; None if the host is in no such network."""
    for name, network in machine.networks:
        if ipaddress.ip_address(address) in ipaddress.ip_interface(network).network:
            return name
    return None


def _check(port: int) -> str:
    return f"""\
#!/bin/bash
# Whether this host's HAProxy is well, or about to start: keepalived asks every second.
test ! -e {PENDING} || exit 0
exec 3<>/dev/tcp/{LOOPBACK}/{port} || exit 1
printf 'GET {HEALTH} HTTP/1.0\\r\\n\\r\\n' >&3
read -t 1 -r _ code _ <&3
test "$code" = 200
"""


_UNIT = f"""\
[Unit]
Description=The virtual address of the Quay registry
Wants=network-online.target
After=network-online.target
# Else systemd gives up after five failures within 10 s, as while the interface is not there yet.
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/sbin/keepalived --vrrp --dont-fork --log-console --use-file={CONFIGURATION} \
--pid=/run/quaylab-keepalived.pid --vrrp_pid=/run/quaylab-keepalived-vrrp.pid
ExecStartPost=/bin/cp {CONFIGURATION} {LOADED}
ExecReload=/bin/kill -HUP $MAINPID
ExecReload=/bin/cp {CONFIGURATION} {LOADED}
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
