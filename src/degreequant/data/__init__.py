"""Data sets: one graph or many, with the splits that papers report on, and one that needs neither files nor network.

>>> from degreequant import data
>>> list(data.DATASETS)
['cora', 'citeseer', 'pubmed', 'digits', 'zinc', 'mnist', 'cifar10', 'reddit-binary', 'imdb-binary', 'proteins', 'mutag']
>>> data.load("digits")
Data(x=[1797, 64], edge_index=[2, 19924], y=[1797], train_mask=[1797], val_mask=[1797], test_mask=[1797])

Raw files are looked for in `$DEGREEQUANT_DATA`, which is only ever read, and then in the cache: `$DEGREEQUANT_CACHE`, else `degreequant` in
the platform's folder for caches (`$XDG_CACHE_HOME`, `~/.cache`). What is in neither is downloaded into the cache. Importing this package
loads no torch.
"""

from degreequant.data.catalog import DATASETS, Dataset, Statistics, available, find, load, measure

__all__ = ["DATASETS", "Dataset", "Statistics", "available", "find", "load", "measure"]
