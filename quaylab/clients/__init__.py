"""All that opens a socket: the registry, object stores, databases, the way through SSH."""
