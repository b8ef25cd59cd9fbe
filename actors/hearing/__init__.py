"""Writing down speech: windows of a recording, models that hear them, what they wrote and when."""
