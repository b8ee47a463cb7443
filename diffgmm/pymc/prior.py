"""`prior_from_idata`: the posterior of one analysis as the prior of the next."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .._seeding import Seed, child_sequence, seed_sequence
from ..errors import ConvergenceWarning, InvalidParameterError
from ..learn.fit import fit
from ..learn.mixture_fit import MixtureFit
from ..report.check import check as misfit_check
from ..report.draws import posterior_group, variable
from ..report.inference_data import SAMPLE_DIMS, as_tree, psis_log_weights
from ..report.posterior_fit import thinned
from .distribution import GaussianMixture
from .target import Target

# Draws that the misfit check sees: it assumes independent rows, and draws of chains are not.
CHECKED_DRAWS, BOOTSTRAPS = 400, 39

# Draws of the prior at which the earlier posterior is evaluated, and the largest k of a good match
# (Vehtari et al. 2024, arXiv:1507.02646).
IMPORTANCE_DRAWS, LARGEST_K = 1_000, 0.7

SMALLEST_P = 0.01


def prior_from_idata(
    idata: Any,
    var_names: Sequence[str],
    *,
    model: Any = None,
    transforms: Mapping[str, Any] | None = None,
    n_components: int | range | None = None,
    name: str = "prior",
    check: bool = True,
    random_seed: Seed = None,
) -> dict[str, Any]:
    """Add the posterior of an earlier analysis to the model on the context stack, as a prior.

    A mixture of Gaussians is fitted to the draws on the unconstrained space, jointly: correlations
    and several modes stay. The variables are deterministic functions of one free vector, called
    `name`, that has the mixture as its distribution.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
        The earlier posterior, of any library.
    var_names : sequence of str
        Variables to carry over.
    model : pymc.Model, optional
        The earlier model: transforms are taken from it, and where `var_names` are all its free
        variables, its density checks the mixture.
    transforms : dict, optional
        PyMC transforms by name, such as ``{"sigma": pm.distributions.transforms.log}``, for
        variables whose values are constrained; they go before those of `model`.
    n_components : int, range or None
        As in `diffgmm.fit`: chosen by BIC by default.
    name : str, default "prior"
    check : bool, default True
        Check the mixture against the draws and warn if it does not fit.
    random_seed : int, sequence of int, Generator or None

    Returns
    -------
    dict
        The new variables by name, with the dims of idata.

    Raises
    ------
    InvalidParameterError
        When a variable is missing, or constrained draws have no transform.

    Warns
    -----
    ConvergenceWarning
        When the misfit check rejects the mixture, or Pareto k is above 0.7.
    """
    context = pm.modelcontext(None)
    if isinstance(var_names, str) or not len(var_names):
        raise InvalidParameterError(f"var_names must be a list of names, got {var_names!r}.")
    posterior = posterior_group(as_tree(idata))
    parts = [_Part(posterior, var, _transform(var, transforms, model)) for var in var_names]
    table = np.concatenate([part.flat for part in parts], axis=1)
    sequence = seed_sequence(random_seed)
    found = fit(
        thinned(table),
        n_components,
        random_seed=np.random.default_rng(child_sequence(sequence, 0)),
        progressbar=False,
    )
    if check:
        _check(found, table, child_sequence(sequence, 1))
        if model is not None and {rv.name for rv in model.free_RVs} == set(var_names):
            _check_density(found, model, parts, child_sequence(sequence, 2))
    mixture = found.mixture
    flat = GaussianMixture(
        name, mixture.weights, mixture.means, cov=mixture.covariances, shape=(table.shape[1],)
    )
    return _variables(context, parts, flat)


class _Part:
    """One variable: its draws on the unconstrained space, and how to go back."""

    def __init__(self, posterior: Any, name: str, transform: tuple[Any, tuple[Any, ...]]):
        array = variable(posterior, name, "var_names").transpose(*SAMPLE_DIMS, ...)
        values = np.asarray(array.values, dtype=float)
        values = values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])
        self.name, (self.transform, self.inputs) = name, transform
        self.dims = array.dims[2:]
        self.coords = {dim: array[dim].values.tolist() for dim in self.dims if dim in array.coords}
        if self.transform is not None:
            values = self.transform.forward(pt.as_tensor(values), *self.inputs).eval(
                mode="FAST_COMPILE"
            )
        self.shape = values.shape[1:]
        self.flat = np.asarray(values).reshape(len(values), -1)
        if not np.all(np.isfinite(self.flat)):
            raise InvalidParameterError(
                f"The draws of {name!r} are not finite on the unconstrained space: give the right "
                "transform for it."
            )

    def variable(self, flat: Any) -> Any:
        """Return the variable from its part of the flat vector."""
        value = flat.reshape(self.shape) if self.shape else flat[0]
        if self.transform is not None:
            value = self.transform.backward(value, *self.inputs)
        return value


def _transform(
    name: str, transforms: Mapping[str, Any] | None, model: Any
) -> tuple[Any, tuple[Any, ...]]:
    """Return a variable's transform and the inputs that it asks for."""
    if transforms is not None and name in transforms:
        return transforms[name], ()
    if model is None:
        return None, ()
    rv = next((rv for rv in model.free_RVs if rv.name == name), None)
    if rv is None:
        raise InvalidParameterError(
            f"The model has no free variable {name!r}: give its transform in transforms, None "
            "for an unconstrained one."
        )
    return model.rvs_to_transforms[rv], tuple(rv.owner.inputs)


def _variables(context: Any, parts: list[_Part], flat: Any) -> dict[str, Any]:
    variables, first = {}, 0
    for part in parts:
        size = math.prod(part.shape)
        named = all(not dim.startswith(f"{part.name}_dim_") for dim in part.dims)
        for dim, values in part.coords.items() if named else ():
            if dim not in context.coords:
                context.add_coord(dim, values)
        variables[part.name] = pm.Deterministic(
            part.name,
            part.variable(flat[first : first + size]),
            dims=part.dims if named and part.dims else None,
        )
        first += size
    return variables


def _check(found: MixtureFit, table: np.ndarray, sequence: np.random.SeedSequence) -> None:
    rows = np.ascontiguousarray(table[:: max(1, len(table) // CHECKED_DRAWS)])
    report = misfit_check(
        found,
        rows,
        n_bootstrap=BOOTSTRAPS,
        random_seed=np.random.default_rng(sequence),
        progressbar=False,
    )
    if report.p_value < max(SMALLEST_P, 1.5 / (BOOTSTRAPS + 1)):
        warnings.warn(
            f"The draws do not look like a mixture of {found.mixture.n_components} Gaussians "
            f"(misfit check, p = {report.p_value:.3g}). Allow more components with "
            "n_components=range(1, 31), or look at diffgmm.check.",
            ConvergenceWarning,
            stacklevel=3,
        )


def _check_density(
    found: MixtureFit, model: Any, parts: list[_Part], sequence: np.random.SeedSequence
) -> None:
    """Compare the mixture with the earlier posterior's density, at draws of the mixture."""
    rng, target = np.random.default_rng(sequence), Target(model)
    draws = found.mixture.sample(IMPORTANCE_DRAWS, random_seed=rng)
    places = target.points.slices()
    by_name = {rv.name: model.rvs_to_values[rv].name for rv in model.free_RVs}
    points = np.empty_like(draws)
    first = 0
    for part in parts:
        where, _ = places[by_name[part.name]]
        size = math.prod(part.shape)
        points[:, where] = draws[:, first : first + size]
        first += size
    log_target = np.array([target(x)[0] for x in points])
    log_ratios = log_target - found.mixture.log_density(draws)
    k = float(psis_log_weights(-log_ratios[:, None])[1][0])
    if not k < LARGEST_K:
        warnings.warn(
            f"The mixture of {found.mixture.n_components} Gaussians misses a part of the earlier "
            f"posterior (Pareto k = {k:.2f}, should be below {LARGEST_K}): its tails are heavier, "
            "or the draws lack a mode.",
            ConvergenceWarning,
            stacklevel=3,
        )
