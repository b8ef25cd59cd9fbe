"""What would run, and what it will take."""
