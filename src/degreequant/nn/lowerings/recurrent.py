"""Gated cells: `torch.nn.GRUCell`, which `GatedGraphConv` calls, and the LSTMs of a `JumpingKnowledge` and of a `Set2Set`."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge
from torch_geometric.nn.aggr import Set2Set
from torch_geometric.utils import scatter, softmax

from degreequant.errors import PrepareError
from degreequant.nn.lowering import register_lowering


@register_lowering(nn.GRUCell)
def gru_cell(layer: Any, x: Tensor, h: Tensor) -> Tensor:
    """Cho et al., 2014, as torch writes it: the third gate reads the reset gate behind its product with the state."""
    of_input = _gates(x, layer.weight_ih, layer.bias_ih if layer.bias else None, 3, layer.hidden_size)
    of_state = _gates(h, layer.weight_hh, layer.bias_hh if layer.bias else None, 3, layer.hidden_size)
    reset, update = (torch.sigmoid(of_input[gate] + of_state[gate]) for gate in range(2))
    candidate = torch.tanh(of_input[2] + reset * of_state[2])
    return candidate + update * (h - candidate)


@register_lowering(JumpingKnowledge)
def jumping_knowledge(layer: Any, xs: list[Tensor]) -> Any:
    """The layers side by side, their largest, or weighted by an attention that a bidirectional LSTM computes along them."""
    if layer.mode == "cat":
        return torch.cat(xs, dim=-1)
    if layer.mode == "max":
        return torch.stack(xs, dim=1).amax(dim=1)
    forward, backward = _states(layer.lstm, xs, ""), _states(layer.lstm, xs[::-1], "_reverse")[::-1]
    logits = [layer.att(torch.cat([a, b], dim=-1)) for a, b in zip(forward, backward, strict=True)]
    shares = torch.softmax(torch.cat(logits, dim=-1), dim=-1)
    return (shares.unsqueeze(1) @ torch.stack(xs, dim=1)).squeeze(1)


def _states(lstm: Any, xs: list[Tensor], direction: str) -> list[Tensor]:
    """The states of one direction of an LSTM of one layer, from zeros on (Hochreiter and Schmidhuber, 1997, as torch writes it)."""
    of_input, of_state = (getattr(lstm, f"weight_{part}_l0{direction}") for part in ("ih", "hh"))
    bias_input, bias_state = (getattr(lstm, f"bias_{part}_l0{direction}") for part in ("ih", "hh"))
    states: list[Tensor] = []
    cell: Any = None
    for x in xs:
        gates = _gates(x, of_input, bias_input + bias_state, 4, lstm.hidden_size)
        if states:
            gates = [gate + more for gate, more in zip(gates, _gates(states[-1], of_state, None, 4, lstm.hidden_size), strict=True)]
        state, cell = _opened(gates, cell)
        states.append(state)
    return states


def _opened(gates: list[Any], cell: Any) -> tuple[Any, Any]:
    """State and cell of an LSTM behind its four gates; a cell that is None is 0."""
    admit, keep, show = (torch.sigmoid(gates[gate]) for gate in (0, 1, 3))
    admitted = admit * torch.tanh(gates[2])
    cell = admitted if cell is None else keep * cell + admitted
    return show * torch.tanh(cell), cell


@register_lowering(Set2Set)
def set_to_set(layer: Any, x: Tensor, index: Any = None, ptr: Any = None, dim_size: Any = None, dim: int = -2) -> Any:
    """Vinyals et al., 2016: an LSTM asks the nodes of a graph, and reads what their answers weigh. It begins with zeros, so its first
    question follows from its biases, for all graphs alike."""
    lstm, width = layer.lstm, layer.in_channels
    if index is None or lstm.num_layers != 1 or lstm.bidirectional or not lstm.bias or layer.processing_steps < 2:
        raise PrepareError("a Set2Set is taken with batch, one layer of one direction with bias, and two processing steps or more")
    of_query, of_read = lstm.weight_ih_l0[:, :width] + lstm.weight_hh_l0, lstm.weight_ih_l0[:, width:]
    bias = lstm.bias_ih_l0 + lstm.bias_hh_l0
    query, cell = _opened([bias[first : first + width] for first in range(0, 4 * width, width)], None)
    read = _answer(x, x @ query.view(-1, 1), index)
    for step in range(1, layer.processing_steps):
        if step == 1:
            gates = _gates(read, of_read, bias + of_query @ query, 4, width)
        else:
            pairs = zip(_gates(read, of_read, bias, 4, width), _gates(query, of_query, None, 4, width), strict=True)
            gates = [of_reading + of_asking for of_reading, of_asking in pairs]
        query, cell = _opened(gates, cell)
        read = _answer(x, (x * query[index]).sum(dim=-1, keepdim=True), index)
    return torch.cat([query, read], dim=-1)


def _answer(x: Any, logits: Any, index: Any) -> Any:
    """The nodes of each graph, weighed by a softmax of these logits."""
    return scatter(softmax(logits, index) * x, index, 0, reduce="sum")


def _gates(value: Tensor, weight: Tensor, bias: Tensor | None, count: int, width: int) -> list[Tensor]:
    """The parts of one linear layer, so many gates of this width."""
    slices = [slice(first, first + width) for first in range(0, count * width, width)]
    products = [value @ weight[rows].t() for rows in slices]
    return products if bias is None else [product + bias[rows] for product, rows in zip(products, slices, strict=True)]
