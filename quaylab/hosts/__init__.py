"""The machines: what they report, their disks, their subscription."""
