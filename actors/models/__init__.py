"""Which model a stage works with, at which revision, and how it comes onto this machine."""
