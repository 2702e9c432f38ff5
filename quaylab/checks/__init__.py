"""Checks before anything is changed. Each problem has the reason and a remedy."""
