"""The engine beside its peers: what is timed, against whom, and how. Every case is checked before it is timed.

`cases` says what there is, `graphs` generates, `workloads` makes a case's models and inputs, `ours` and `peers` are the contenders, `run`
times them, `fresh` measures in processes of their own.
"""
