"""A PyG model of your own, trained in INT4 with Degree-Quant, saved, and run without torch.

DEGREEQUANT_DATA=/path/to/data python examples/cora_gcn.py [DATASET]
"""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch_geometric.nn import GCNConv

import degreequant as dq
from degreequant.data import load


class Net(torch.nn.Module):
    def __init__(self, in_channels, classes):
        super().__init__()
        self.conv1 = GCNConv(in_channels, 16)
        self.conv2 = GCNConv(16, classes)

    def forward(self, x, edge_index):
        x = F.dropout(x, training=self.training)
        x = self.conv1(x, edge_index).relu()
        x = F.dropout(x, training=self.training)
        return F.log_softmax(self.conv2(x, edge_index), dim=-1)


data = load(sys.argv[1] if len(sys.argv) > 1 else "cora")
torch.manual_seed(0)

# The one added line: a copy of the model that trains quantized. Everything below is the loop you have.
model = dq.prepare(Net(data.num_features, int(data.y.max()) + 1), dq.Recipe.degree_quant(bits=4))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
for _ in range(200):
    model.train()
    optimizer.zero_grad()
    loss = F.nll_loss(model(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask])
    loss.backward()
    optimizer.step()

# Integers only from here on: this part needs numpy and degreequant, no torch.
dq.convert(model).save("model.dq")
engine = dq.Engine("model.dq")
graph = dq.Graph(data.edge_index, num_nodes=data.num_nodes)
logits = engine(data.x, graph)

# What ran is what was trained: the model's own eval() computes with the same integers.
model.eval()
assert np.allclose(logits, model(data.x, data.edge_index).detach(), atol=1e-5)
accuracy = (logits.argmax(1) == data.y.numpy())[data.test_mask.numpy()].mean()
print(f"test accuracy of the integers: {100 * accuracy:.1f} %, {dq.Program.load('model.dq').nbytes / 1000:.1f} KB")
