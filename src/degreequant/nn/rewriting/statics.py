"""The results of a plan that follow from parameters and buffers alone, computed by name."""

from typing import Any

from torch import nn

from degreequant.nn.sites.channels import call
from degreequant.nn.tracing.plan import Plan, Step


class Statics(dict[str, Any]):
    """Such results by name, computed when they are asked for first: for whoever works on a plan without running it.

    Args:
        plan: The plan.
        model: Whose parameters they follow from.
    """

    def __init__(self, plan: Plan, model: nn.Module) -> None:
        super().__init__()
        self._steps: dict[str, Step] = {step.name: step for step in plan.steps}
        self._model = model

    def __missing__(self, name: str) -> Any:
        step = self._steps[name]
        if step.kind == "attribute":
            owner, _, attribute = str(step.target).rpartition(".")
            self[name] = getattr(self._model.get_submodule(owner), attribute)
        else:
            self[name] = call(step, {read: self[read] for read in step.reads()})
        return self[name]
