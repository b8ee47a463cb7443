"""`GaussianMixture`: a PyMC distribution whose log density and gradient are one kernel each."""

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.dist_math import check_parameters
from pymc.distributions.distribution import Continuous, SymbolicRandomVariable, _support_point
from pymc.logprob.abstract import _logprob
from pymc.pytensorf import normalize_rng_param
from pytensor.graph.basic import Constant
from pytensor.tensor.random.basic import normal, uniform
from pytensor.tensor.random.utils import normalize_size_param

from ..arguments import WEIGHT_TOLERANCE
from ..errors import InvalidDataError, InvalidParameterError
from . import fusion
from .likelihood_ops import LogLikelihoods

fusion.register()

# The core shape of the spread's array, by its number of dimensions, in rows of several features.
SPREADS = {1: "(k)", 2: "(k,p)", 3: "(k,p,p)"}


class GaussianMixtureRV(SymbolicRandomVariable):
    """Draws of a Gaussian mixture as a graph: a component by its weight, then a normal.

    form : what the spread is, see `likelihood_ops.FORMS`.
    is_scalar : whether rows are numbers, means (K,) and the spread standard deviations (K,).
    """

    name = "GaussianMixture"
    _print_name = ("GaussianMixture", "\\operatorname{GaussianMixture}")

    def __init__(self, *args, form: str, is_scalar: bool, **kwargs):
        self.form, self.is_scalar = form, is_scalar
        super().__init__(*args, **kwargs)

    @classmethod
    def rv_op(cls, w, mu, spread, *, form, is_scalar, size=None, rng=None):
        """Return draws (*size, D), or (*size,) when rows are numbers."""
        rng, size = normalize_rng_param(rng), normalize_size_param(size)
        first_rng, chosen, last_rng, draws = _draws(w, mu, spread, form, is_scalar, size, rng)
        del first_rng, chosen
        if is_scalar:
            signature = "[rng],[size],(k),(k),(k)->[rng],()"
        else:
            signature = f"[rng],[size],(k),(k,p),{SPREADS[spread.type.ndim]}->[rng],(p)"
        return cls(
            inputs=[rng, size, w, mu, spread],
            outputs=[last_rng, draws],
            extended_signature=signature,
            form=form,
            is_scalar=is_scalar,
        )(rng, size, w, mu, spread)

    def rebuild_rv(self, *args, **kwargs):
        """Return the same distribution with other inputs."""
        return self.rv_op(*args, form=self.form, is_scalar=self.is_scalar, **kwargs)


def _draws(w, mu, spread, form, is_scalar, size, rng):
    shape = () if isinstance(size, Constant) and size.data is None else tuple(size)
    # `make_node` has the same outputs in PyTensor 2 and 3; the calls around it have not.
    first_rng, u = uniform.make_node(rng, shape, 0.0, 1.0).outputs
    chosen = (u[..., None] > pt.cumsum(w)[:-1]).sum(axis=-1)
    wide = shape if is_scalar else (*shape, mu.shape[1])
    last_rng, white = normal.make_node(first_rng, wide, 0.0, 1.0).outputs
    if spread.type.ndim < 3:
        scale = spread[chosen]
        if not is_scalar and spread.type.ndim == 1:
            scale = scale[..., None]
        step = scale * white
    else:
        root = spread
        if form == "cov":
            root = pt.linalg.cholesky(spread)
        elif form == "tau":
            root = pt.linalg.inv(pt.linalg.cholesky(spread)).transpose(0, 2, 1)
        step = (root[chosen] * white[..., None, :]).sum(axis=-1)
    return first_rng, chosen, last_rng, mu[chosen] + step


@_logprob.register(GaussianMixtureRV)
def _mixture_logp(op, values, rng, size, w, mu, spread, **_):
    (value,) = values
    value = pt.cast(value, "float64")
    log_w = pt.log(w)
    if not isinstance(w, Constant):
        log_w = check_parameters(
            log_w,
            pt.all(w >= 0.0),
            pt.isclose(pt.sum(w), 1.0, atol=WEIGHT_TOLERANCE),
            msg="weights >= 0, sum of weights = 1",
        )
    if op.is_scalar:
        rows, means = value.reshape((-1, 1)), mu[:, None]
    else:
        rows, means = value if value.type.ndim == 2 else value.reshape((-1, mu.shape[1])), mu
    out = LogLikelihoods(op.form)(rows, log_w, means, spread)
    batch = value.type.ndim if op.is_scalar else value.type.ndim - 1
    return out if batch == 1 else out.reshape(value.shape[:batch], ndim=batch)


@_support_point.register(GaussianMixtureRV)
def _mixture_support_point(op, rv, rng, size, w, mu, spread):
    """Return the mean of the heaviest component: the mean of all may lie where nothing is."""
    return pt.broadcast_to(mu[pt.argmax(w)], rv.shape)


def _tensor(name: str, value: Any, largest_ndim: int) -> Any:
    try:
        tensor = pt.cast(pt.as_tensor(value), "float64")
    except (TypeError, ValueError, NotImplementedError):
        raise InvalidParameterError(
            f"{name} must be numbers or a PyMC variable, got {value!r}."
        ) from None
    if tensor.type.ndim > largest_ndim:
        raise InvalidParameterError(
            f"{name} must have at most {largest_ndim} dimensions, got {tensor.type.ndim}. "
            "Batches of mixtures are not supported: write one GaussianMixture for each."
        )
    return tensor


def _spread(mu: Any, given: dict[str, Any]) -> tuple[str, Any]:
    """Return the form and the spread (K, D, D), (K, D) or (K,) of the one argument that was given."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise InvalidParameterError(
            "Give exactly one of cov, chol, sigma and tau, "
            f"got {' and '.join(names) if names else 'none'}."
        )
    (name,) = names
    is_scalar = mu.type.ndim == 1
    # The name decides what few dimensions mean: variances or precisions, else matrices.
    largest = 1 if is_scalar else (2 if name == "sigma" else 3)
    value = _tensor(name, given[name], largest)
    ndim = value.type.ndim
    form, n_dims = name, 3
    if name == "sigma" or ndim < 2:
        if name == "cov":
            value = pt.sqrt(value)
        elif name == "tau":
            value = 1.0 / pt.sqrt(value)
        form, n_dims = "sigma", max(ndim, 1)
    static = (*mu.type.shape, mu.type.shape[-1])[:n_dims]
    for own, size in zip(value.type.shape[::-1], static[::-1]):
        if None not in (own, size) and own not in (1, size):
            raise InvalidParameterError(
                f"{name} has the shape {value.type.shape}, but mu asks for {static}."
            )
    shape = (mu.shape[0], mu.shape[-1], mu.shape[-1])[:n_dims]
    return form, pt.broadcast_to(value, shape)


def _check_weights(w: Any) -> None:
    if isinstance(w, Constant) and not (
        np.all(w.data >= 0.0) and abs(w.data.sum() - 1.0) <= WEIGHT_TOLERANCE
    ):
        raise InvalidParameterError(
            f"Weights must not be negative and must sum to 1, got {w.data.tolist()}."
        )


def _check_static_shapes(w: Any, mu: Any) -> None:
    if w.type.ndim != 1 or mu.type.ndim not in (1, 2):
        raise InvalidParameterError(
            "w and mu must have shapes (K,) and (K, D), or (K,) and (K,), got "
            f"{w.type.ndim} and {mu.type.ndim} dimensions."
        )
    k, other = w.type.shape[0], mu.type.shape[0]
    if None not in (k, other) and k != other:
        raise InvalidParameterError(f"w has {k} components and mu has {other}.")


def _check_rows(mu: Any, shape: Any) -> None:
    """Refuse rows whose number of features is known not to be that of the means."""
    last = shape[-1] if isinstance(shape, tuple | list) and len(shape) else shape
    d = mu.type.shape[-1]
    if mu.type.ndim == 2 and isinstance(last, int | np.integer) and d not in (None, last):
        raise InvalidDataError(f"Rows must have the {d} features of mu, got the shape {shape}.")


def _check_observed(observed: Any) -> None:
    """Refuse missing entries, which PyMC would take for free variables of the model."""
    values = observed.get_value() if hasattr(observed, "get_value") else observed
    values = getattr(values, "data", values) if isinstance(values, Constant) else values
    if hasattr(values, "owner"):  # symbolic: not known yet
        return
    mask = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else None
    try:
        missing = np.isnan(np.asarray(values, dtype=float)) if mask is None else mask
    except (TypeError, ValueError):
        raise InvalidDataError("observed must be numbers.") from None
    if missing.any():
        n = int(missing.reshape(len(missing), -1).any(axis=1).sum())
        raise InvalidDataError(
            f"observed has missing entries in {n} of {len(missing)} rows, which GaussianMixture "
            "does not support yet. Drop or fill these rows."
        )


class GaussianMixture(Continuous):
    r"""Mixture of Gaussians with components summed out: p(x) = sum_k w_k N(x; mu_k, Sigma_k).

    Log density and gradient are computed by blocked kernels, one pass over the rows for both.

    Parameters
    ----------
    name : str
        Of the variable in the model.
    w : tensor_like of float, shape (K,)
        Weights; not negative, sum 1.
    mu : tensor_like of float, shape (K, D), or (K,) for rows that are numbers
        Means.
    cov, chol, tau : tensor_like of float, shape (K, D, D), or (D, D) for one that all share
        Covariances, their lower Cholesky factors, or precisions: exactly one of the four arguments.
        With fewer dimensions, cov and tau are variances and precisions of every feature.
    sigma : tensor_like of float, shape (K, D), (K,), (1, D) or ()
        Standard deviations: of each feature in each component, or of all features alike; 1.0 is
        the identity.
    observed : array_like, shape (N, D) or (N,), optional
        Rows, without missing entries.
    **kwargs
        `dims`, `shape`, `initval` and others of any PyMC distribution.

    Raises
    ------
    InvalidParameterError, InvalidDataError
        One line: the rule, what was given, the remedy.

    Notes
    -----
    `pm.compute_log_likelihood` gives one number per row with components summed out, which is what
    `az.loo` wants. First derivatives only.

    Examples
    --------
    >>> import diffgmm.pymc, numpy as np, pymc as pm
    >>> with pm.Model():
    ...     w = pm.Dirichlet("w", np.ones(2))
    ...     mu = pm.Normal("mu", 0.0, 10.0, shape=(2, 3))
    ...     y = diffgmm.pymc.GaussianMixture("y", w, mu, sigma=1.0, observed=np.zeros((5, 3)))
    """

    rv_type = GaussianMixtureRV
    rv_op = GaussianMixtureRV.rv_op

    def __new__(cls, name, *args, observed=None, **kwargs):
        """Add the variable to the model on the context stack."""
        if observed is not None:
            _check_observed(observed)
        return super().__new__(cls, name, *args, observed=observed, **kwargs)

    @classmethod
    def dist(cls, w, mu, *, cov=None, chol=None, sigma=None, tau=None, **kwargs):
        """Return a mixture that belongs to no model."""
        w, mu = _tensor("w", w, 1), _tensor("mu", mu, 2)
        _check_static_shapes(w, mu)
        _check_weights(w)
        _check_rows(mu, kwargs.get("shape"))
        form, spread = _spread(mu, {"cov": cov, "chol": chol, "sigma": sigma, "tau": tau})
        return super().dist([w, mu, spread], form=form, is_scalar=mu.type.ndim == 1, **kwargs)
