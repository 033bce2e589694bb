"""Gated cells: `torch.nn.GRUCell`, which `GatedGraphConv` calls."""

from typing import Any

import torch
from torch import Tensor, nn

from degreequant.nn.lowering import register_lowering


@register_lowering(nn.GRUCell)
def gru_cell(layer: Any, x: Tensor, h: Tensor) -> Tensor:
    """Cho et al., 2014, as torch writes it: the third gate reads the reset gate behind its product with the state."""
    width = layer.hidden_size

    def part(value: Tensor, weight: Tensor, bias: Tensor | None, gate: int) -> Tensor:
        rows = slice(gate * width, (gate + 1) * width)
        product = value @ weight[rows].t()
        return product if bias is None else product + bias[rows]

    of_input = [part(x, layer.weight_ih, layer.bias_ih if layer.bias else None, gate) for gate in range(3)]
    of_state = [part(h, layer.weight_hh, layer.bias_hh if layer.bias else None, gate) for gate in range(3)]
    reset, update = (torch.sigmoid(of_input[gate] + of_state[gate]) for gate in range(2))
    candidate = torch.tanh(of_input[2] + reset * of_state[2])
    return candidate + update * (h - candidate)
