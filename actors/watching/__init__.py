"""Watching videos: containers, decoding, clips, models that see several frames at once."""
