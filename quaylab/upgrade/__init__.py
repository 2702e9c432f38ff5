"""From one version of Quay to the next: the schema, and the dumps before it."""
