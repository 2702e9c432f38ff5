"""The demo: this machine plays every part, and needs no container registry."""

quay = ["@local"]
database = ["@local"]
redis = ["@local"]
