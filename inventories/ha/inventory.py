"""Three machines that play every part together: the loss of any one of them is not missed."""

_admin = {"ssh_user": "admin", "_sudo": True}

balancer = quay = database = redis = [
    ("node1.example.com", {**_admin, "address": "192.0.2.11"}),
    ("node2.example.com", {**_admin, "address": "192.0.2.12"}),
    ("node3.example.com", {**_admin, "address": "192.0.2.13"}),
]
