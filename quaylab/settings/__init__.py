"""Settings: types, sections, loading, and the page of them. A service has its own section."""
