"""The machines: their reports, disks and subscriptions."""
