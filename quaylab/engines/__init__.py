"""Container engines: commands from specifications, and state from the engine's output."""
