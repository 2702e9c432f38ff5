"""What a host reports. Absent tools give an empty fact, never a failed run."""
