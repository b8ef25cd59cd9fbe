"""Tasks on tables: one file, one task."""
