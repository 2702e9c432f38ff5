"""Upgrades of Quay: the database's schema, and the dumps before its migration."""
