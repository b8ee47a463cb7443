"""A PyMC model as a density on its flat, unconstrained space."""

from collections.abc import Callable
from typing import Any

import numpy as np
from pymc.blocking import DictToArrayBijection, RaveledVars
from pymc.initial_point import make_initial_point_fn

from ..errors import InvalidParameterError


class Points:
    """The flat, unconstrained space of a model's free variables.

    start : the model's initial point, (D,).
    """

    def __init__(self, model: Any, initvals: Any = None, random_seed: int = 0):
        raveled = DictToArrayBijection.map(
            make_initial_point_fn(model=model, overrides=initvals)(random_seed)
        )
        self.start, self._info = raveled.data.astype(float), raveled.point_map_info

    @property
    def names(self) -> list[str]:
        """Names of the value variables, in the order of the flat array."""
        return [entry[0] for entry in self._info]

    def slices(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Return where each value variable is in the flat array, and its shape."""
        places, first = {}, 0
        for entry in self._info:
            size = int(np.prod(entry[1], dtype=int))
            places[entry[0]] = (slice(first, first + size), tuple(entry[1]))
            first += size
        return places

    def point(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the values by name."""
        return DictToArrayBijection.rmap(RaveledVars(np.array(x), self._info))

    def flat(self, point: dict[str, np.ndarray]) -> np.ndarray:
        """Return the flat array of values by name."""
        return DictToArrayBijection.map({name: point[name] for name in self.names}).data


class Target:
    """Log density of a model, with its gradient, at flat arrays of unconstrained values.

    logp_dlogp : PyMC's compiled function, which its NUTS takes as well: one compilation for all.
    start : the model's initial point, (D,).
    """

    def __init__(self, model: Any, initvals: Any = None, random_seed: int = 0):
        discrete = [v.name for v in model.value_vars if v.dtype not in ("float64", "float32")]
        if discrete:
            raise InvalidParameterError(
                f"diffgmm.pymc.sample needs continuous variables, but {discrete} are discrete. "
                "Sum them out (as diffgmm.pymc.GaussianMixture does), or use pm.sample."
            )
        if not model.value_vars:
            raise InvalidParameterError("The model has no free variables to sample.")
        self.points = Points(model, initvals, random_seed)
        self.model, self.start = model, self.points.start
        self.logp_dlogp = model.logp_dlogp_function(
            ravel_inputs=True, initial_point=self.points.point(self.start)
        )
        self.logp_dlogp.set_extra_values({})
        self.logp_dlogp.trust_input = True  # as PyMC's NUTS does: arrays come as they should

    @property
    def n_dims(self) -> int:
        """Number of unconstrained values D."""
        return len(self.start)

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return log density and gradient; -inf and zeros where the density is not defined."""
        value, gradient = self.logp_dlogp(np.ascontiguousarray(x))
        value = float(value)
        if not np.isfinite(value) or not np.all(np.isfinite(gradient)):
            return -np.inf, np.zeros(len(x))
        return value, np.array(gradient)

    def prior_draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return n draws of the prior, (n, D); none where the prior cannot be drawn from."""
        try:
            draw: Callable[[int], dict[str, np.ndarray]] = make_initial_point_fn(
                model=self.model, default_strategy="prior"
            )
            draws = [self.points.flat(draw(int(seed))) for seed in rng.integers(2**31, size=n)]
        except NotImplementedError:  # flat priors
            draws = []
        out = np.array(draws, dtype=float).reshape(-1, self.n_dims)
        return out[np.isfinite(out).all(axis=1)]
