"""`MixtureGibbs`: exact draws of a conjugate mixture block inside a larger PyMC model."""

from typing import Any, ClassVar

import numpy as np
import pymc as pm
from pymc.step_methods.compound import BlockedStep, Competence
from pytensor.graph.basic import Constant

from ..data import raw_rows
from ..errors import InvalidParameterError
from ..kernels.allocation import ChainState, allocate
from ..kernels.conjugate import (
    SMALLEST_WEIGHT,
    draw_from_precision,
    draw_weights,
    write_precision,
)
from ..kernels.sweep import noised_components, scratch_for
from ..matrices import inverse_cholesky
from .recognise import ModelMixture, depends_on, mixtures_of

RULE = (
    "MixtureGibbs needs diffgmm.pymc.GaussianMixture with w from a Dirichlet and mu from a Normal, "
    "both given directly and with constant parameters"
)


class MixtureGibbs(BlockedStep):
    r"""Draw allocations, weights and means of a mixture in turn, from their exact conditionals.

    For ``w ~ Dirichlet(alpha)``, ``mu ~ Normal(m, s)`` and rows from
    ``diffgmm.pymc.GaussianMixture(w, mu, ...)``: allocations given all else, w given allocations,
    mu_k given its rows. Means and weights leave NUTS, which takes what is left of the model,
    the spread included: ``pm.sample(step=[MixtureGibbs([w, mu])])``.

    Parameters
    ----------
    vars : list
        The weights and the means, in any order.
    model : pymc.Model, optional
        The one on the context stack by default.

    Raises
    ------
    InvalidParameterError
        When the block is not conjugate: other priors, parameters of them that are drawn themselves,
        or a variable that depends on w or mu besides.
    """

    name = "mixture_gibbs"
    default_blocked = True
    stats_dtypes_shapes: ClassVar[dict[str, Any]] = {"fewest_rows": (np.int64, [])}

    def __init__(self, vars: Any, *, model: Any = None, rng: Any = None, blocked: bool = True):
        model = pm.modelcontext(model)
        self.vars = [v if v in model.value_vars else model.rvs_to_values[v] for v in vars]
        block = _block_of(model, self.vars)
        self.rows, (self.w_name, self.mu_name) = block.rows, block.names
        self.alpha, self.prior_mean, self.prior_sd = block.alpha, block.mean, block.sd
        self.shape = block.shape
        # Of values, because steps see those; it is called once per draw.
        (covariances,) = model.replace_rvs_by_values([block.covariances])
        self._inputs = [v.name for v in model.value_vars]
        self._covariances = model.compile_fn(
            covariances, inputs=model.value_vars, point_fn=False, on_unused_input="ignore"
        )
        self.rng = np.random.default_rng(rng)

    def set_rng(self, rng: Any) -> None:
        """Begin a chain, as PyMC 5 says it."""
        self.rng = np.random.default_rng(rng)

    def setup_chain(self, rng: Any, tune: int, draws: int) -> None:
        """Begin a chain, as PyMC 6 says it."""
        self.set_rng(rng)

    def step(self, point: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[dict]]:
        """Return the next point, and how many rows the smallest component has."""
        covariances = np.asarray(self._covariances(*(point[name] for name in self._inputs)))
        factors, _ = inverse_cholesky(covariances)
        means = np.array(point[self.mu_name], dtype=float).reshape(self.shape)
        state = self._allocated(_weights(point[self.w_name]), means, factors)
        draw_weights(self.alpha, state.counts, self.rng, state.weights)
        self._draw_means(state)
        log_w = np.log(state.weights)
        new = {
            **point,
            self.w_name: (log_w - log_w.mean())[:-1],
            self.mu_name: means.reshape(point[self.mu_name].shape),
        }
        return new, [{"fewest_rows": int(state.counts.min())}]

    def _allocated(self, w: np.ndarray, means: np.ndarray, factors: np.ndarray) -> ChainState:
        """Return the state of a sweep with the counts and sums of a draw of the allocations."""
        (k, d), nothing = self.shape, np.empty((0, 0))
        statistics = np.zeros(k), np.zeros((k, d)), np.zeros((k, 0))
        state = ChainState(np.empty(0), w, means, nothing, factors, *statistics)
        scratch = scratch_for(state)
        components = noised_components(state, 0.0, scratch)
        rows, unkept = raw_rows(self.rows), np.empty(0)
        gains = np.empty((k, 0))  # not read without noise; like second moments, which nobody needs
        allocate(rows, components, state, gains, 0.0, unkept, scratch.work, self.rng)
        return state

    def _draw_means(self, state: ChainState) -> None:
        """Draw each mean given its rows: precision n_k Q_k + diag(s_k)^-2."""
        d = self.shape[1]
        own, work = np.empty((d, d)), np.empty((d, d))
        for j, n in enumerate(state.counts):
            write_precision(state.factors, j, own)
            sums = state.first[j] + n * state.means[j]
            known = self.prior_sd[j] ** -2.0
            linear = own @ sums + known * self.prior_mean[j]
            draw_from_precision(n * own + np.diag(known), linear, self.rng, work, state.means[j])

    @staticmethod
    def competence(var: Any, has_grad: bool) -> Competence:
        """Return that PyMC never chooses this step by itself."""
        return Competence.INCOMPATIBLE


def _weights(value: np.ndarray) -> np.ndarray:
    """Return weights (K,) from PyMC's simplex values (K - 1,): centred logs but the last."""
    whole = np.append(value, -value.sum())
    return np.maximum(np.exp(whole - np.logaddexp.reduce(whole)), SMALLEST_WEIGHT)


class _Block:
    """The conjugate block: rows, names of value variables, and the constants of its priors."""

    mean: np.ndarray
    sd: np.ndarray

    def __init__(self, model: Any, mixture: ModelMixture, w: Any, mu: Any):
        self.rows = np.ascontiguousarray(mixture.rows)
        self.names = tuple(model.rvs_to_values[rv].name for rv in (w, mu))
        self.covariances = mixture.cov
        (self.alpha,) = _constants(w)
        mean, sd = _constants(mu)
        self.shape = (len(self.alpha), self.rows.shape[1])
        shape = tuple(mu.type.shape)
        self.mean, self.sd = (
            np.broadcast_to(value, shape).reshape(self.shape) for value in (mean, sd)
        )


def _block_of(model: Any, values: list[Any]) -> _Block:
    chosen = [model.values_to_rvs[value] for value in values]
    for mixture in mixtures_of(model):
        w, mu, _ = mixture.inputs
        if len(chosen) == 2 and {w, mu} == set(chosen):
            break
    else:
        raise InvalidParameterError(f"{RULE}; got {[rv.name for rv in chosen]}.")
    if _op(w) != "dirichlet" or _op(mu) != "normal":
        raise InvalidParameterError(
            f"{RULE}; got {_op(w)!r} for {w.name!r} and {_op(mu)!r} for {mu.name!r}."
        )
    if None in mu.type.shape or model.rvs_to_transforms[mu] is not None:
        raise InvalidParameterError(f"{RULE}; {mu.name!r} has a transform or no fixed shape.")
    if type(model.rvs_to_transforms[w]).__name__ != "SimplexTransform":
        raise InvalidParameterError(f"{RULE}; {w.name!r} has not PyMC's own transform of weights.")
    _check_alone(model, mixture, w, mu)
    return _Block(model, mixture, w, mu)


def _op(rv: Any) -> str:
    return getattr(rv.owner.op, "name", "?")


def _constants(rv: Any) -> list[np.ndarray]:
    """Return the parameters of a prior, which must not be drawn themselves."""
    values = []
    for parameter in rv.owner.op.dist_params(rv.owner):
        if any(v.owner is None and not isinstance(v, Constant) for v in depends_on(parameter)):
            raise InvalidParameterError(
                f"{RULE}; a parameter of {rv.name!r} is a variable of the model."
            )
        values.append(np.asarray(parameter.eval(mode="FAST_COMPILE"), dtype=float))
    return values


def _check_alone(model: Any, mixture: ModelMixture, w: Any, mu: Any) -> None:
    """Refuse a model in which anything but the mixture's rows depends on w or mu."""
    others = [rv for rv in model.basic_RVs if rv.name not in (mixture.name, w.name, mu.name)]
    for other in [*others, *model.potentials, mixture.inputs[2]]:
        if {w, mu} & depends_on(other):
            name = other.name or f"the spread of {mixture.name}"
            raise InvalidParameterError(
                f"{RULE}; {name!r} depends on them besides. Leave the block to NUTS."
            )
