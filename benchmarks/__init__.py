"""What Gristmill costs, beside other ways to do the same work."""
