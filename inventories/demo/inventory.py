"""The demo: everything runs on this machine, and no container registry is needed."""

quay = ["@local"]
database = ["@local"]
redis = ["@local"]
