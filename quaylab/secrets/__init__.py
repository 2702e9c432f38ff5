"""The credentials file, the passwords, the certificates."""
