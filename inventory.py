"""Who plays which part. By default this machine plays every part.

Name other machines to spread the parts, each with what SSH needs and, where commands need it,
sudo; `address` is where its peers reach it (by default ssh_hostname):

    quay = [("quay.example.com", {"ssh_user": "admin", "_sudo": True})]
    database = [("db.example.com", {"ssh_user": "admin", "_sudo": True})]

A part that runs elsewhere has no group: set database_host or redis_host instead.
"""

quay = ["@local"]
database = ["@local"]
redis = ["@local"]
