"""What drops edges, or rows of features of edges, in training alone: in `eval()` every edge is left, and all of it vanishes."""

from dataclasses import replace

from degreequant.errors import PrepareError
from degreequant.nn.rewriting.emitter import Emitter
from degreequant.nn.rewriting.lazy import EdgeScalars
from degreequant.nn.rewriting.values import ValueKind
from degreequant.nn.rewriting.vocabulary import describe, drops_at_evaluation, meaning, operand
from degreequant.nn.sites.adjacency import float_coefficients
from degreequant.nn.tracing.plan import Step
from degreequant.nn.tracing.recorded import DROPS
from degreequant.nn.tracing.references import Ref


class Dropping:
    """Rewrites these steps.

    Args:
        emitter: Where what is left of them goes.
        training: Whether the plan is the one of `train()`.
    """

    def __init__(self, emitter: Emitter, *, training: bool) -> None:
        self.emitter = emitter
        self.values = emitter.values
        self.outlook = emitter.outlook
        self.structure = emitter.outlook.structure
        self.training = training

    def take(self, step: Step) -> bool:
        """Rewrites the step, if it is of this kind."""
        structure = self.structure
        if step.target in DROPS:
            self._drop(step)
        elif step.name in structure.kept_edges:
            self._edges(step, structure.kept_edges[step.name])
        elif step.name in structure.left:
            if self.training:
                self.emitter.keep(step, "graph")
        elif meaning(step, self.outlook.model) == "dropout" and self._weighs(step):
            self._weights(step)
        elif step.name in structure.picked:
            self._rows(step, Ref(structure.picked[step.name]))
        else:
            return False
        return True

    def _drop(self, step: Step) -> None:
        given = step.by_name(_ARGUMENTS[step.target.__name__])
        name = describe(step)
        if step.name not in self.structure.drops:
            raise PrepareError(f"{name} is called on something else than the edges of the model's input")
        if given.get("relabel_nodes", False):
            raise PrepareError(f"{name} numbers the nodes anew, of which features would have no part; call it without relabel_nodes")
        if self.training:
            self.emitter.keep(step, "graph")
        elif given.get("training", True) and given.get("p", 0.5) > 0:
            raise PrepareError(f"{name} drops at evaluation too: write {step.target.__name__}(edge_index, p, training=self.training)")

    def _weighs(self, step: Step) -> bool:
        """Whether a dropout works on weights of edges: coefficients, or an input."""
        weights = operand(step)
        given = self.values.kind(weights) == "input" and self.outlook.tail(weights.name) == () and self.outlook.feeds_edges(weights.name)
        return given or step.name in self.structure.normed

    def _weights(self, step: Step) -> None:
        """Weights of edges, of which some are dropped."""
        weights = operand(step)
        if not self.training and drops_at_evaluation(step):
            raise PrepareError(f"{describe(step)} drops at evaluation too: write F.dropout(x, p, training=self.training)")
        if step.name in self.structure.normed:
            self._coefficients(step, weights)
        elif self.training:
            self._keep_input(step, self.values.input_name(weights))
        else:
            self.values.alias[step.name] = self.values.name(weights)

    def _coefficients(self, step: Step, weights: Ref) -> None:
        """Normalized coefficients, of which a dropout drops some; a second one drops some of those that are left."""
        normed, before = self.structure.normed[step.name], self.structure.normed[weights.name].dropped
        if normed.nodes is None:
            raise PrepareError(f"{describe(step)} drops coefficients of a gcn_norm() that was called without num_nodes; give it x.size(0)")
        if self.training:
            left = f"{weights.name}.left"
            if before is None:
                of = (Ref(normed.edge_index), normed.edge_weight, normed.nodes, normed.norm)
                self.emitter.keep(replace(step, name=left, kind="function", target=float_coefficients, args=of, kwargs={}), "graph")
            self.emitter.keep(replace(step, name=f"{step.name}.left", args=(Ref(left), *step.args[1:])), "graph")
        else:
            normed = replace(normed, dropped=None)
        self.emitter.be_lazy(step, EdgeScalars(normed))

    def _edges(self, step: Step, before: str) -> None:
        """The edges that are left."""
        if not self.training:
            self.values.alias[step.name] = before
        elif self.structure.as_given(step.name):
            self._keep_input(step, self.structure.edges[step.name].index)
        else:
            self.emitter.keep(step, "graph")

    def _rows(self, step: Step, value: Ref) -> None:
        """The rows of the edges that are left, of what has a row for each."""
        kind: ValueKind = self.values.kind(value)
        if not self.training:
            self.values.alias[step.name] = self.values.name(value)
        elif kind == "input" and (self.outlook.tail(value.name) == () or step.name in self.structure.integers):
            self._keep_input(step, self.values.input_name(value))
        elif kind == "float":
            self.emitter.keep(step, "float")
        else:
            reader = next(iter(self.outlook.readers(step.name)), step)
            self.emitter.keep(replace(step, args=(self.emitter.stored_for(reader, value), *step.args[1:])), "stored")

    def _keep_input(self, step: Step, given: str) -> None:
        """A step whose result has the part of the input `given`, for those edges that are left."""
        self.values.origin[step.name] = given
        self.emitter.keep(step, "input")


_ARGUMENTS = {
    "dropout_edge": ("edge_index", "p", "force_undirected", "training"),
    "dropout_node": ("edge_index", "p", "num_nodes", "training", "relabel_nodes"),
}
