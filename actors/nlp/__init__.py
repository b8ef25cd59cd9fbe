"""Text tasks: one file, one task."""
