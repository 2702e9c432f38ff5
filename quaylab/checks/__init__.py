"""What is refused before anything is changed, each check with the reason and the remedy."""
