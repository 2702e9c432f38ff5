"""From bare machines to a verified registry: the tasks in their order."""

from pyinfra import local

for task in (
    "tasks/docker.py",
    "tasks/database.py",
    "tasks/redis.py",
    "tasks/quay.py",
    "tasks/verify.py",
):
    local.include(task)
