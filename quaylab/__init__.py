"""The pure core of Quaylab: it works out the desired state without touching a machine."""

__version__ = "0.1.0"
