"""The idempotent verbs that tasks share: read a fact, compare, do nothing or yield commands."""
