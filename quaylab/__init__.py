"""The pure core of Quaylab: what is to be, worked out without touching a machine."""
