"""A plain training loop for the project's own experiments, its models, and checkpoints that are never pickles."""
