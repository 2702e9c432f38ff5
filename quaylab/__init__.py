"""The pure core of Quaylab: what is to be, worked out without touching a machine."""

__version__ = "0.1.0"
