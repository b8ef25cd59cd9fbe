"""Ray clusters: the file that launches one, its machines, and jobs that are sent to it."""
