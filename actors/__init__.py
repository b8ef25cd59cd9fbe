"""What happens to a batch on one worker: stages, the worker, models. Knows nothing of Ray."""
