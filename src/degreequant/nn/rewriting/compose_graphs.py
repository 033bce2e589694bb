"""The steps between nodes and the graphs that they belong to: shares of a graph's nodes, what a graph has at its nodes."""

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.emitter import Draft, Emitter
from degreequant.nn.rewriting.structure import picked_rows
from degreequant.nn.rewriting.vocabulary import describe
from degreequant.nn.sites.pool import BroadcastSite
from degreequant.nn.sites.softmax import NodeSoftmaxSite
from degreequant.nn.tracing.plan import Step

SOFTMAX = ("src", "index", "ptr", "num_nodes", "dim")
"""Arguments of PyG's `softmax`."""

SHARE_BITS = 16
"""Shares of nodes are of the order of one over their number, which in 8 bits is nothing beside the 1 of a graph of one node."""


class GraphSteps:
    """Rewrites these steps.

    Args:
        emitter: Where sites go.
    """

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self.values = emitter.values

    def softmax(self, step: Step) -> None:
        """The shares of each graph's nodes."""
        given = step.by_name(SOFTMAX)
        along_rows = given.get("dim", 0) in (0, -2)
        if given.get("ptr") is not None or given.get("num_nodes") is not None or not along_rows:
            raise PrepareError(f"{describe(step)} is not over the nodes of each graph as prepare takes it: expected softmax(src, batch)")
        logits = self.emitter.logits(step, given["src"])
        if self.values.rows[logits.name] != "nodes":
            raise PrepareError(f"{describe(step)} is over rows of {self.values.rows[logits.name]}; prepare takes the nodes of each graph")
        recipe = self.emitter.recipe_at(step)
        recipe = recipe.replace(activation_bits=max(SHARE_BITS, recipe.activation_bits or 0))
        args = (logits, self.values.batch(given.get("index"), step))
        self.emitter.site(step, Draft(self.emitter.named(step, "softmax"), NodeSoftmaxSite, args, "nodes", "all", recipe))

    def broadcast(self, step: Step) -> None:
        """What a graph has, at each of its nodes."""
        picked = picked_rows(step)
        assert picked is not None
        value, index = picked
        x = self.emitter.stored_for(step, value)
        if self.values.rows[x.name] != "graphs":
            raise PrepareError(
                f"{describe(step)} picks rows of {self.values.rows[x.name]} by an input of the model; prepare takes the ends of edges, "
                f"x[edge_index[0]], and what graphs have, at their nodes, u[batch]"
            )
        args = (x, self.values.batch(index, step))
        self.emitter.site(step, Draft(self.emitter.named(step, "broadcast"), BroadcastSite, args, "nodes", finishes=False))
