"""Settings: types, sections, loading, docs/settings.md. The services have their own sections."""
