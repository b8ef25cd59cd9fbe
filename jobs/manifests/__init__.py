"""A pipeline as what other schedulers read."""
