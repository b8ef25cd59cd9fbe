"""Who speaks, and when: what the tasks on voices share."""
