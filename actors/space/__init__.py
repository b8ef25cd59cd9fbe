"""Things in space: cameras, points, poses from several views, and how things lie to each other."""
