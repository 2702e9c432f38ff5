"""Which host runs which service. By default this machine runs all of them.

To spread the parts, name other machines with their SSH settings and, if commands need it, `_sudo`;
`address` is where the other hosts reach a machine (by default ssh_hostname or the name if that is
an IP address, else its only one):

    quay = [("quay.example.com", {"ssh_user": "admin", "_sudo": True})]
    database = [("db.example.com", {"ssh_user": "admin", "_sudo": True})]

A part that runs elsewhere has no group: set database_host or redis_host instead.
"""

quay = ["@local"]
database = ["@local"]
redis = ["@local"]
