"""Quay on one machine of a cloud; database, Redis and object store are services of the cloud."""

quay = [("registry.example.com", {"ssh_user": "admin", "_sudo": True})]
