"""Experiments: what was run, how, and what came out, as one JSON line each."""
