"""Naming what a recording is: models of sound, their windows, labels and words to wake up to."""
