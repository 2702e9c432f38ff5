"""Container engines: installed and checked, and a host's data moved from one to another."""
