"""A rewrite of compiled graphs: sum and gradient of a mixture's log likelihood in one pass.

PyMC sums the log densities of rows, and differentiating the sum asks `Likelihood` for derivatives
under row weights that all are one number. Then weights are left out, derivatives are multiplied
instead, and the sum itself is the first output of the same node.
"""

from typing import Any

import numpy as np
from pytensor.compile.mode import optdb
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.tensor.basic import Alloc, constant
from pytensor.tensor.elemwise import CAReduce
from pytensor.tensor.variable import TensorConstant

from .likelihood_ops import Likelihood, LogLikelihoods

# After "specialize" (2), when PyTensor has simplified the row weights to a fill.
POSITION = 2.9


def _common_weight(row_weights: Any) -> Any:
    """Return the one number that fills `row_weights`, None if there is no such number."""
    if isinstance(row_weights, TensorConstant):
        value = row_weights.unique_value
        return None if value is None else constant(float(value))
    owner = row_weights.owner
    if (
        owner is not None
        and isinstance(owner.op, Alloc)
        and all(owner.inputs[0].type.broadcastable)
    ):
        return owner.inputs[0].squeeze()
    return None


def _sums(fgraph: Any, parameters: tuple[Any, ...], form: str) -> list[Any]:
    """Return the sums of row densities under the same parameters."""
    sums = []
    for node in fgraph.toposort():
        if isinstance(node.op, LogLikelihoods) and node.op.form == form:
            if tuple(node.inputs) != parameters:
                continue
            for client, _ in fgraph.clients[node.outputs[0]]:
                if isinstance(client.op, CAReduce) and client.op.scalar_op.name == "add":
                    sums.append(client.outputs[0])
    return sums


class FuseLikelihood(GraphRewriter):
    """Replace weighted passes whose weights all are one number by plain ones that also sum."""

    def add_requirements(self, fgraph):
        """Let replacements be checked."""
        from pytensor.graph.features import ReplaceValidate

        fgraph.attach_feature(ReplaceValidate())

    def apply(self, fgraph):
        """Rewrite the graph in place."""
        for node in fgraph.toposort():
            if not isinstance(node.op, Likelihood):
                continue
            values, row_weights, *parameters = node.inputs
            weight = _common_weight(row_weights)
            if weight is None:
                continue
            # Derivatives by a spread that is a constant are never asked for.
            moments = bool(fgraph.clients[node.outputs[3]])
            total, *derivatives = Likelihood(node.op.form, moments)(
                values, constant(np.empty(0)), *parameters
            )
            if not (isinstance(weight, TensorConstant) and weight.data == 1.0):
                derivatives = [weight * derivative for derivative in derivatives]
            fgraph.replace_all(list(zip(node.outputs[1:], derivatives)), reason="diffgmm: one pass")
            for own in _sums(fgraph, (values, *parameters), node.op.form):
                fgraph.replace(own, total, reason="diffgmm: one pass")


def register() -> None:
    """Make the rewrite part of every compilation; once is enough."""
    if "diffgmm_fuse_likelihood" not in optdb.__db__:
        optdb.register(
            "diffgmm_fuse_likelihood",
            FuseLikelihood(),
            "fast_run",
            "numba",
            position=POSITION,
        )
