"""Training models of tables and of pictures."""
