"""What every run of pyinfra needs: its guard, connector, cache of facts, locks and plan."""
