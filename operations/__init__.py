"""Idempotent operations, which tasks share: read a fact, compare, do nothing or yield commands."""
