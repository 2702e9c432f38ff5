"""Everything that opens a connection: registry, object stores, databases, SSH tunnels."""
