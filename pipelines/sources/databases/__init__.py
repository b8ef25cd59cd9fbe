"""What rows of a database need: ranges of keys, Arrow's types, and each kind of server."""
