"""Fuzzing of what a user hands in: `.dq` files and the arguments of an engine. See docs/compatibility.md and `make fuzz`."""
