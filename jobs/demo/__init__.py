"""The demo, and the documents that it reads."""
