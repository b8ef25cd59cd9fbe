"""Audio tasks: one file, one task."""
