"""Stages that tests use beside the catalogue: real, small, and able to misbehave on request."""
