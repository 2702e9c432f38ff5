"""A lab on this machine: tasks/hypervisor.py makes a VM, and everything runs on it.

`./lab up lab` makes the VM and deploys to it. The VM's address comes from libvirt.
"""

import os

from quaylab.virtual.addresses import of_machines

_VM = "quay.quaylab.lan"
# For a remote hypervisor: qemu+ssh://root@hypervisor.example.com/system
_LIBVIRT = "qemu:///system"
_PASSWORD = os.environ.get("QUAYLAB_CLOUD_USER_PASSWD", "redhat")
_address = of_machines(_LIBVIRT, [_VM]).get(_VM)

hypervisor = ["@local"]

lab = [
    (
        _VM,
        {
            **({"ssh_hostname": _address} if _address else {}),
            "ssh_user": "cloud-user",
            "ssh_password": _PASSWORD,
            # The host key that tasks/hypervisor.py gave the VM.
            "ssh_known_hosts_file": "credentials/lab-known_hosts",
            "ssh_strict_host_key_checking": "yes",
            "_sudo": True,
            "cloud_user_passwd": _PASSWORD,
            "resources": {
                "vcpus": 2,
                "ram": 8192,
                "disks": [
                    {"size": 10, "pool": "virt-pool"},
                    {"size": 10, "pool": "virt-pool"},
                ],
                "network": "quaylab",
            },
            "convert_to_lv_on_vg": "virt-pool",
            # By serial number, as device letters may change.
            "docker_storage": {"devices": ["disk1"], "volume_group": "docker-vg"},
            "quay_storage": {"devices": ["disk2"]},
        },
    )
]
quay = [_VM]
database = [_VM]
redis = [_VM]
