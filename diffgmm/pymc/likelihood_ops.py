"""PyTensor Ops around the likelihood kernels, compiled by Numba or called from C and Python.

PyMC asks for one number per row (`LogLikelihoods`); its gradient needs the sufficient statistics of
an EM pass (`Likelihood`), which contain the sum of those numbers as well. `fusion` sees when only
the sum is wanted and takes one pass for both.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor import gradient as pytensor_gradient
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from ..kernels import likelihood as kernels

FORMS = {
    "chol": kernels.CHOLESKY,
    "cov": kernels.COVARIANCE,
    "tau": kernels.PRECISION,
    "sigma": kernels.CHOLESKY,
}


def kernel_version() -> int:
    """Return a number that changes with the source of any kernel.

    PyTensor's cache of compiled code knows an Op by its class and this number only.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(kernels.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:7])


KERNEL_VERSION = kernel_version()


def _disconnected() -> Any:
    """Return the gradient of what has none: PyTensor 3 has a function, 2 a class."""
    if hasattr(pytensor_gradient, "disconnected_type"):
        return pytensor_gradient.disconnected_type()
    return pytensor_gradient.DisconnectedType()()


class _MixtureOp(Op):
    """What the Ops share: parameters of a mixture, checked for their number of dimensions.

    form : "chol", "cov" or "tau" of matrices (K, D, D), "sigma" of standard deviations (K, D), (K,).
    """

    __props__: tuple[str, ...] = ("form",)

    def __init__(self, form: str):
        self.form = form

    @staticmethod
    def _parameters(log_weights: Any, means: Any, spread: Any) -> list[Any]:
        return [pt.as_tensor(value) for value in (log_weights, means, spread)]

    def L_op(self, inputs, outputs, cotangents):
        """Return gradients for PyTensor 2, which has this name for them."""
        return self.pullback(inputs, outputs, cotangents)

    def infer_shape(self, *arguments):
        """Return the shapes of outputs; PyTensor 2 gives graph, node and shapes, 3 no graph."""
        return self.output_shapes(arguments[-1])


class _RowsOp(_MixtureOp):
    """Something of every row: values (N, D) and a mixture's parameters to (N,) or (N, D).

    kernel : writes it.   ndim : its number of dimensions, the first of those of the values.
    """

    kernel: Any
    ndim: int

    def make_node(self, values, log_weights, means, spread):
        """Return the node of one evaluation."""
        inputs = [pt.as_tensor(values), *self._parameters(log_weights, means, spread)]
        out = pt.tensor(dtype="float64", shape=inputs[0].type.shape[: self.ndim])
        return Apply(self, inputs, [out])

    def output_shapes(self, shapes):
        """Return (N,) or (N, D)."""
        return [shapes[0][: self.ndim]]

    def perform(self, node, inputs, outputs):
        """Evaluate without compilation by PyTensor."""
        out = np.empty(inputs[0].shape[: self.ndim])
        self.kernel(*kernels.checked(*inputs), FORMS[self.form], out)
        outputs[0][0] = out


class LogLikelihoods(_RowsOp):
    """Log density of every row, (N,)."""

    kernel = staticmethod(kernels.log_likelihoods)
    ndim = 1

    def pullback(self, inputs, outputs, cotangents):
        """Return gradients: by rows from the score, by parameters from an EM pass."""
        values, *parameters = inputs
        (weights,) = cotangents
        by_parameters = Likelihood(self.form)(values, weights, *parameters)[1:]
        return [weights[:, None] * Scores(self.form)(*inputs), *by_parameters]


class Likelihood(_MixtureOp):
    """Weighted log likelihood and its derivatives by log weights, means and spread, in one pass.

    Row weights (N,), or (0,) for ones. `moments` is False to leave out, and return as zeros,
    derivatives by standard deviations that nobody asks for.
    """

    __props__ = ("form", "moments")

    def __init__(self, form: str, moments: bool = True):
        super().__init__(form)
        self.moments = moments

    def make_node(self, values, row_weights, log_weights, means, spread):
        """Return the node of one evaluation."""
        parameters = self._parameters(log_weights, means, spread)
        inputs = [pt.as_tensor(values), pt.as_tensor(row_weights), *parameters]
        return Apply(self, inputs, [pt.dscalar(), *(p.type() for p in parameters)])

    def output_shapes(self, shapes):
        """Return the shapes of the derivatives, which are those of the parameters."""
        return [(), *shapes[2:]]

    def perform(self, node, inputs, outputs):
        """Evaluate without compilation by PyTensor."""
        values, row_weights, *parameters = inputs
        values, *parameters = kernels.checked(values, *parameters)
        gradient = tuple(np.zeros(value.shape) for value in parameters)
        total = kernels.signed_likelihood(
            values,
            np.ascontiguousarray(row_weights),
            *parameters,
            FORMS[self.form],
            1 if self.moments else 0,
            gradient,
        )
        for place, value in zip(outputs, (np.asarray(total), *gradient)):
            place[0] = value

    def pullback(self, inputs, outputs, cotangents):
        """Return gradients of the total; the derivatives themselves have none here."""
        if not all(_is_disconnected(cotangent) for cotangent in cotangents[1:]):
            raise NotImplementedError(
                "Second derivatives of diffgmm.pymc.GaussianMixture are not implemented. "
                "Use a method that needs first derivatives only."
            )
        by_parameters = [cotangents[0] * derivative for derivative in outputs[1:]]
        return [_disconnected(), _disconnected(), *by_parameters]

    def connection_pattern(self, node):
        """Return that everything depends on the parameters; rows are never differentiated here."""
        return [[False] * 4, [False] * 4, *([[True] * 4] * 3)]


def _is_disconnected(variable: Any) -> bool:
    return isinstance(variable.type, pytensor_gradient.DisconnectedType)


class Scores(_RowsOp):
    """Gradient of the log density by every row, (N, D)."""

    kernel = staticmethod(kernels.scores)
    ndim = 2


@register_funcify_default_op_cache_key(Scores)
@register_funcify_default_op_cache_key(LogLikelihoods)
def _compile_rows(op, node, **_):
    form, kernel, ndim = FORMS[op.form], op.kernel, op.ndim
    checked = kernels.checked

    @numba_njit
    def by_rows(values, log_weights, means, spread):
        out = np.empty(values.shape[:ndim])
        x, log_w, m, s = checked(values, log_weights, means, spread)
        kernel(x, log_w, m, s, form, out)
        return out

    return by_rows, KERNEL_VERSION


@register_funcify_default_op_cache_key(Likelihood)
def _compile_likelihood(op, node, **_):
    form, kernel = FORMS[op.form], kernels.signed_likelihood
    moments = 1 if op.moments else 0
    checked = kernels.checked

    @numba_njit
    def likelihood(values, row_weights, log_weights, means, spread):
        d_log_weights = np.zeros(log_weights.shape)
        d_means, d_spread = np.zeros(means.shape), np.zeros(spread.shape)
        x, log_w, m, s = checked(values, log_weights, means, spread)
        gradient = (d_log_weights, d_means, d_spread)
        total = kernel(x, np.ascontiguousarray(row_weights), log_w, m, s, form, moments, gradient)
        return np.asarray(total), d_log_weights, d_means, d_spread

    return likelihood, KERNEL_VERSION
