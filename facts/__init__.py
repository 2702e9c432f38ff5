"""What a host reports. A missing tool gives an empty fact, never a failed run."""
