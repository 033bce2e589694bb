"""Pictures and tables from what was recorded; never runs a model."""
