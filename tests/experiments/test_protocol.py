import pytest

from degreequant.data import DATASETS, find
from degreequant.errors import DatasetError
from degreequant.experiments.protocol import protocol, protocols
from degreequant.recipe import Recipe
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


@pytest.mark.parametrize(("recipe", "bits"), [(Recipe.degree_quant(4), 4), (Recipe.degree_quant(8), 8)])
def test_what_a_data_set_asks_of_low_bits(recipe, bits):
    """REDDIT-BINARY keeps 8 bits in its first layer and its readout; what has 8 anyway stays as it is."""
    chosen = protocol(find("reddit-binary"), "gin").recipe(recipe)
    assert chosen.at("convs.1").activation_bits == bits
    assert chosen.at("convs.0").activation_bits == chosen.at("convs.0.nn.2").weight_bits == 8
    assert chosen.readout_bits == (8 if bits < 8 else None)


def test_what_was_searched_is_of_degree_quant_alone():
    usual = protocol(find("reddit-binary"), "gin")
    assert usual.recipe(Recipe.degree_quant(8)) == Recipe.degree_quant(8).replace(momentum=0.1, p_min=0.0, p_max=0.0)
    assert usual.recipe(Recipe.degree_quant(8), tuned=False) == Recipe.degree_quant(8)
    assert usual.recipe(Recipe.qat(8)) == Recipe.qat(8)
    assert protocol(find("mutag"), "gin").recipe(Recipe.degree_quant(8)).protects, "and of the data set that it was searched on"


def test_what_was_searched_may_differ_below_8_bits():
    usual = protocol(find("zinc"), "gcn")
    assert [usual.recipe(Recipe.degree_quant(bits)).percentile for bits in (8, 4)] == [0.0001, 0.01]


def test_float_stays_float():
    assert protocol(find("reddit-binary"), "gin").recipe(Recipe.fp32()) == Recipe.fp32()


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
