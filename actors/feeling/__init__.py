"""Feelings: what models of text, voice and face say of an emotion, and how that is joined."""
