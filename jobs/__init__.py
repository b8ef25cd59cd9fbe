"""What a person, a clock or a cluster starts."""
