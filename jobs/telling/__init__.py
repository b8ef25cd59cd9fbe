"""Telling others how a run ended: a webhook, lineage events."""
