import pytest

from degreequant.data import DATASETS, find
from degreequant.errors import DatasetError
from degreequant.experiments.protocol import protocol, protocols
from degreequant.train.architectures import ARCHITECTURES
from degreequant.train.settings import Settings


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_architectures_that_exist(name):
    known = protocols(find(name))
    assert known
    for chosen in known.values():
        assert chosen.architecture in ARCHITECTURES


def test_gcn_on_citation_graphs_is_what_it_was():
    """Its published rows have these settings in their keys."""
    chosen = protocol(find("cora"), "gcn")
    assert (chosen.architecture, chosen.hidden_channels, chosen.dropout, chosen.settings) == ("gcn", 16, 0.5, Settings())


@pytest.mark.parametrize(
    ("dataset", "arch", "message"),
    [
        ("cora", "gcn2", "unknown architecture 'gcn2'; expected one of gcn, gat, gin on cora"),
        ("reddit-binary", "gcn", "unknown architecture 'gcn'; expected one of gin on reddit-binary"),
    ],
)
def test_an_unknown_architecture(dataset, arch, message):
    with pytest.raises(DatasetError, match=message):
        protocol(find(dataset), arch)
