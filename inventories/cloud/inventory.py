"""Quay on one machine of a cloud; database, Redis and object store are the cloud's own."""

quay = [("registry.example.com", {"ssh_user": "admin", "_sudo": True})]
