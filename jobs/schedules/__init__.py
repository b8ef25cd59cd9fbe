"""Schedules: cron expressions that run a pipeline, in one SQLite file; every fire leaves a row."""
