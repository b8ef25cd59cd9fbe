"""How data flows: pipeline files, sources, units, commits, and the graph that runs on Ray."""
