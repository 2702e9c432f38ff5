"""Machines of their own for each part, of which any one of each kind may be lost."""

_admin = {"ssh_user": "admin", "_sudo": True}


def _machines(name: str, first: int, number: int) -> list[tuple[str, dict[str, object]]]:
    return [
        (f"{name}{at}.example.com", {**_admin, "address": f"192.0.2.{first + at}"})
        for at in range(1, number + 1)
    ]


balancer = _machines("balancer", 10, 2)
quay = _machines("quay", 20, 3)
database = _machines("database", 30, 3)
redis = _machines("redis", 40, 3)
ceph = _machines("ceph", 50, 3)
