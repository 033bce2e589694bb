import json

import programs
import pytest

from degreequant.outline import parameter_bytes, summarize


def test_a_summary_is_ready_for_json():
    program = programs.gcn(weighted=True, source={"model": "GCN"})
    summary = json.loads(json.dumps(summarize(program)))
    assert summary["bytes"] == program.nbytes
    assert summary["output"] == "conv2"
    assert summary["epilogue"] == "log_softmax"
    assert summary["source"] == {"model": "GCN"}
    assert summary["inputs"][0] == {"name": "x", "role": "features", "channels": 4, "nodes": []}
    assert [(o["name"], o["kind"]) for o in summary["operations"]] == [(o.name, o.kind) for o in program.operations]


def test_what_an_operation_reads_and_stores():
    first, linear, aggregate, *_ = summarize(programs.gcn(weighted=True))["operations"]
    assert (first["reads"], first["codes"], first["zero_point"], first["scale"]) == (["x"], "uint4", 3, 0.0625)
    assert (linear["reads"], linear["codes"], linear["weight_bits"], linear["channels"]) == (["x"], "int4", 4, 5)
    assert aggregate["reads"] == ["conv1.lin", "edge_index", "edge_weight"]
    assert aggregate["weight_bits"] is None
    assert summarize(programs.gcn())["operations"][2]["reads"] == ["conv1.lin", "edge_index"]


def test_parts_in_float_are_shown_as_that():
    summary = summarize(programs.partly_float())
    assert summary["float_parts"] == ["x.float", "conv.lin.float", "conv.float", "relu.float", "head.float"]
    first, linear, aggregate, _, quantize, *_ = summary["operations"]
    assert (first["codes"], first["scale"], first["zero_point"], first["bytes"]) == ("float32", None, None, 0)
    assert (linear["weight_bits"], linear["bytes"], aggregate["bytes"]) == (None, 4 * 20, 4 * 5)
    assert aggregate["reads"] == ["conv.lin.float", "edge_index"]
    assert (quantize["reads"], quantize["codes"]) == (["relu.float"], "uint8")
    assert summarize(programs.gcn())["float_parts"] == []


@pytest.mark.parametrize(("bits", "weight"), [(2, 4), (4, 4), (5, 6), (8, 6)])
def test_parameter_bytes_count_packed_weights(bits, weight):
    """2 outputs, 3 inputs, and for each output a mantissa, a shift and an addend of 4 bytes."""
    quantize, linear = programs.one_linear(bits).operations
    assert parameter_bytes(quantize) == 0
    assert parameter_bytes(linear) == weight + 2 * 12
    assert parameter_bytes(programs.aggregate("sum", "q", programs.grid(), 3)) == 8
