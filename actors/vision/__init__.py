"""Image tasks: one file, one task."""
