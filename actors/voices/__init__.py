"""Machinery of tasks that make sound: voices, converters of voices, separators of sources."""
