"""Container engines, their images and containers; a host's data moved from one to another."""
