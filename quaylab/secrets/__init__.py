"""The credentials file, passwords and certificates."""
