"""Container engines: a specification becomes commands, and an answer becomes state."""
