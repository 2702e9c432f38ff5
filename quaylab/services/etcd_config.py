"""The configuration of a member of etcd, in which Patroni keeps who leads the database."""

from __future__ import annotations

from collections.abc import Mapping

from quaylab.endpoints import netloc
from quaylab.model import LOOPBACK
from quaylab.paths import ETC
from quaylab.services import member_certificate

CLIENT_PORT = 2379
PEER_PORT = 2380
UID = 2379
DATA = "/var/lib/quaylab-etcd"
# The file of the members' addresses, beside the environment file.
MEMBERS = "members"
# The file beside them that tells run-etcd never to found a cluster: a run has announced the member
# to the others. It is empty and in no digest, as it counts only while the member has no data.
JOINS = "joins"
# Reads the variables of both files.
VARIABLES = f"set -a; . {ETC}/environment; . {ETC}/{MEMBERS}"
# Succeeds only while a majority of the members agrees. It asks the member itself inside its
# container, whose address is in no certificate: at its published address a container doesn't reach
# itself where Podman runs and the kernel has br_netfilter, as on hosts that have Docker as well.
# Not by --endpoints: etcdctl refuses the option beside the variable.
HEALTH = (
    f"bash -c 'set -a; . {ETC}/environment; ETCDCTL_ENDPOINTS=https://{LOOPBACK}:{CLIENT_PORT} "
    "etcdctl --insecure-skip-tls-verify endpoint health'"
)


def environment(
    name: str,
    address: str,
    *,
    token: str,
    leader_key: str,
    client_port: int = CLIENT_PORT,
    peer_port: int = PEER_PORT,
) -> dict[str, str]:
    """Return the variables of a member's environment file, for etcd, etcdctl and lead-elsewhere;
    none is secret.

    Whether the member is one of a new cluster is not among them: run-etcd finds that out, so the
    file is the same in every run.

    Args:
        name: the member's name.
        address: the member's address.
        token: a text that no other cluster has, so that members never meet a stranger's.
        leader_key: the key at which Patroni keeps the name of the member that leads the database.
        client_port: the port at which the hosts publish etcd for clients.
        peer_port: the port at which they publish it for other members.
    """
    return {
        "ETCD_NAME": name,
        "ETCD_DATA_DIR": DATA,
        "ETCD_LISTEN_PEER_URLS": url("0.0.0.0", PEER_PORT),
        "ETCD_LISTEN_CLIENT_URLS": url("0.0.0.0", CLIENT_PORT),
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": url(address, peer_port),
        "ETCD_ADVERTISE_CLIENT_URLS": url(address, client_port),
        "ETCD_INITIAL_CLUSTER_TOKEN": token,
        # Patroni writes every few seconds, and etcd keeps every value until it is compacted.
        "ETCD_AUTO_COMPACTION_MODE": "periodic",
        "ETCD_AUTO_COMPACTION_RETENTION": "1h",
        "ETCD_TRUSTED_CA_FILE": member_certificate.AUTHORITY_PATH,
        "ETCD_CERT_FILE": member_certificate.CERTIFICATE_PATH,
        "ETCD_KEY_FILE": member_certificate.KEY_PATH,
        "ETCD_CLIENT_CERT_AUTH": "true",
        "ETCD_PEER_TRUSTED_CA_FILE": member_certificate.AUTHORITY_PATH,
        "ETCD_PEER_CERT_FILE": member_certificate.CERTIFICATE_PATH,
        "ETCD_PEER_KEY_FILE": member_certificate.KEY_PATH,
        "ETCD_PEER_CLIENT_CERT_AUTH": "true",
        "DATABASE_LEADER_KEY": leader_key,
        "ETCDCTL_CACERT": member_certificate.AUTHORITY_PATH,
        "ETCDCTL_CERT": member_certificate.CERTIFICATE_PATH,
        "ETCDCTL_KEY": member_certificate.KEY_PATH,
    }


def members(
    addresses: Mapping[str, str], client_port: int = CLIENT_PORT, peer_port: int = PEER_PORT
) -> dict[str, str]:
    """Return the variables of the file MEMBERS, the same on all members.

    Args:
        addresses: the address of each member by its name.
    """
    return {
        "ETCD_INITIAL_CLUSTER": ",".join(
            f"{name}={url(address, peer_port)}" for name, address in addresses.items()
        ),
        "ETCDCTL_ENDPOINTS": ",".join(url(address, client_port) for address in addresses.values()),
    }


def url(address: str, port: int) -> str:
    """Return the address of a member as etcd writes it."""
    return f"https://{netloc(address, port)}"
