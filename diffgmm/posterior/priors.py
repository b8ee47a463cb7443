"""Conjugate priors of a Gaussian mixture, in the units of the data."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._seeding import Seed, generator
from ..arguments import check_count
from ..covariance import CovarianceType, family_of
from ..data import Data, check_constant_columns
from ..errors import InvalidFileError, InvalidParameterError
from ..files import check_state
from . import laws
from .checks import numbers, positive_definite
from .families import CovariancePrior, covariance_prior

FORMAT = "diffgmm.Prior"


@dataclass(frozen=True, eq=False, kw_only=True)
class Prior:
    """The prior of a mixture of K Gaussians in D dimensions. Immutable; every number can be set.

    In scipy's conventions::

        weights       ~ dirichlet(concentration)
        means_k       ~ multivariate_normal(m0, B0)
        covariances_k ~ invwishart(df=2 c0, scale=2 C0)
        C0            ~ wishart(df=2 g0, scale=(2 G0)^-1), or fixed

    "tied" has one such covariance for all components. The variances of "diag" and "spherical" have
    the same laws for one feature, independent of each other::

        covariances_ka ~ invgamma(c0, scale=C0_a)          "spherical": one number each, no index a
        C0_a           ~ gamma(g0, scale=1 / G0_a), or fixed

    The covariances of "identity" are known and only the first two lines apply.

    Parameters
    ----------
    m0 : array-like, shape (D,)
        Mean of the means, in the units of the data.
    B0 : array-like, shape (D, D)
        Covariance of the means.
    c0 : float, optional
        Shape of the covariances, half their degrees of freedom: above (D - 1) / 2 for matrices, above
        0 for variances.
    C0 : array-like, optional
        Half the scale of the covariances, shape (D, D); "diag" (D,), "spherical" a number. Their mean
        is C0 / (c0 - (D + 1) / 2), for variances C0 / (c0 - 1). Fixed when given.
    g0, G0 : float and array-like, optional
        Shape, in the range of c0, and rate of C0, in the shape of C0, whose mean is g0 G0^-1. Needed
        unless C0 is given.
    concentration : float or array-like, shape (K,), default 1
        Positive; 1 is uniform over weights.
    n_components : int, optional
        K; any number when not given.
    covariance_type : {"full", "tied", "diag", "spherical", "identity"}
    data_scaled : bool, default False
        Whether the numbers were set from the data, which then count twice.

    Raises
    ------
    InvalidParameterError
        When a number is outside its range or shapes disagree.

    Examples
    --------
    >>> prior = Prior(m0=[0.0], B0=[[4.0]], c0=2.0, C0=[[0.5]])
    >>> prior.replace(concentration=0.5).concentration
    array(0.5)
    """

    # What is given may be any array-like; what is kept are read-only arrays and floats.
    m0: Any
    B0: Any
    c0: Any = None
    C0: Any = None
    g0: Any = None
    G0: Any = None
    concentration: Any = 1.0
    n_components: int | None = None
    covariance_type: CovarianceType = "full"
    data_scaled: bool = False

    def __post_init__(self) -> None:
        m0 = numbers("m0", self.m0)
        if m0.ndim != 1 or m0.size == 0:
            raise InvalidParameterError(f"m0 must have shape (D,), got {m0.shape}.")
        family_of(self.covariance_type)
        self._set("m0", m0)
        self._set("B0", positive_definite("B0", self.B0, m0.size))
        self._check_weights()
        if self._covariances.is_free:
            self._check_covariances(m0.size)
        else:
            self._check_known()

    def __repr__(self) -> str:
        return f"Prior({self.to_json()})"

    def _set(self, name: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        object.__setattr__(self, name, value)

    def _check_weights(self) -> None:
        concentration = numbers("concentration", self.concentration)
        if concentration.ndim > 1 or concentration.size == 0 or concentration.min() <= 0.0:
            raise InvalidParameterError(
                "concentration must be a positive number or one for each component, "
                f"got {self.concentration!r}."
            )
        self._set("concentration", concentration)
        if self.n_components is not None:
            self._set("n_components", check_count("n_components", self.n_components))
        if concentration.ndim == 1:
            if self.n_components not in (None, concentration.size):
                raise InvalidParameterError(
                    f"concentration must be a number or have n_components={self.n_components} "
                    f"entries, got {concentration.size}."
                )
            self._set("n_components", concentration.size)

    def _check_known(self) -> None:
        given = [name for name in ("c0", "C0", "g0", "G0") if getattr(self, name) is not None]
        if given:
            raise InvalidParameterError(
                f'covariance_type="{self.covariance_type}" has known covariances, so '
                f"{', '.join(given)} must not be given."
            )

    def _check_covariances(self, d: int) -> None:
        if self.c0 is None or (self.C0 is None) == (self.G0 is None):
            raise InvalidParameterError(
                f'covariance_type="{self.covariance_type}" needs c0 and either C0 (fixed) or both '
                "g0 and G0 (C0 is then drawn)."
            )
        own = self._covariances
        self._set("c0", own.check_shape("c0", self.c0, d))
        if self.C0 is not None:
            if self.g0 is not None:
                raise InvalidParameterError("g0 must not be given when C0 is: C0 is then fixed.")
            self._set("C0", own.check_scale("C0", self.C0, d))
        else:
            self._set("g0", own.check_shape("g0", self.g0, d))
            self._set("G0", own.check_scale("G0", self.G0, d))

    @classmethod
    def weakly_informative(
        cls,
        X: Any,
        n_components: int | None = None,
        *,
        covariance_type: CovarianceType = "full",
    ) -> "Prior":
        """Return a vague prior on the scale of the data.

        Parameters
        ----------
        X : array-like, shape (N, D)
            Its medians and ranges set m0, B0 and G0: the data count twice, weakly.
        n_components : int, optional
            K.
        covariance_type : {"full", "tied", "diag", "spherical", "identity"}

        Raises
        ------
        InvalidDataError
            When a column has no spread.

        References
        ----------
        Frühwirth-Schnatter, Malsiner-Walli, Grün (2021), Bayesian Analysis 16(4), 1279-1307,
        after Stephens (1997): G0 makes the prior mean of C0 a hundredth of the squared ranges
        times c0; for variances Richardson and Green (1997), doi:10.1111/1467-9868.00095.
        """
        data = Data.of(X)
        check_constant_columns(data)
        squares = data.ranges**2
        family = family_of(covariance_type)
        return cls(
            m0=np.median(data.values, axis=0),
            B0=np.diag(squares),
            n_components=n_components,
            covariance_type=covariance_type,
            data_scaled=True,
            **covariance_prior(family.name).weakly_informative(squares),
        )

    @property
    def _covariances(self) -> CovariancePrior:
        return covariance_prior(self.covariance_type)

    @property
    def n_features(self) -> int:
        """Number of features D."""
        return self.m0.size

    @property
    def is_exchangeable(self) -> bool:
        """Whether the prior is the same for every component, so that labels have no meaning."""
        return bool(np.all(self.concentration == np.ravel(self.concentration)[0]))

    def replace(self, **changes: Any) -> "Prior":
        """Return a prior with other numbers.

        Giving C0 fixes it and drops g0 and G0; giving G0 drops C0.
        """
        if changes.get("C0") is not None:
            changes = {"g0": None, "G0": None, **changes}
        elif changes.get("G0") is not None:
            changes = {"C0": None, **changes}
        unknown = sorted(set(changes) - {field.name for field in dataclasses.fields(self)})
        if unknown:
            raise InvalidParameterError(f"A Prior has no {', '.join(unknown)}.")
        return dataclasses.replace(self, **changes)

    def in_units(self, shift: np.ndarray, scale: np.ndarray) -> "Prior":
        """Return the same prior for parameters of (x - shift) / scale."""
        changes = {"m0": (self.m0 - shift) / scale, "B0": self.B0 / np.outer(scale, scale)}
        if self.C0 is not None:
            changes["C0"] = self.C0 / self._covariances.unit(scale)
        if self.G0 is not None:
            changes["G0"] = self.G0 * self._covariances.unit(scale)
        return self.replace(**changes)

    def concentrations(self, n_components: int) -> np.ndarray:
        """Return the concentration of each component (K,)."""
        return np.array(np.broadcast_to(self.concentration, (n_components,)))

    def n_filled(self, n: int) -> np.ndarray:
        """Return the prior distribution of the number of components that have a row.

        Parameters
        ----------
        n : int
            Number of rows.

        Returns
        -------
        ndarray, shape (K + 1,)
            Entry k is the probability that k of the K components have at least one of n rows.

        Raises
        ------
        InvalidParameterError
            When the prior has no `n_components`.
        """
        n = check_count("n", n)
        return laws.filled_components(self.concentrations(self.known_n_components()), n)

    def known_n_components(self) -> int:
        """Return K, or say how to set it."""
        if self.n_components is None:
            raise InvalidParameterError(
                "The prior must have a number of components here: prior.replace(n_components=...)."
            )
        return self.n_components

    def draw(self, n_components: int, n: int, random_seed: Seed = None) -> dict[str, np.ndarray]:
        """Return n draws of the parameters.

        Parameters
        ----------
        n_components : int
            K.
        n : int
            Number of draws S.
        random_seed : int, sequence of int, Generator or None

        Returns
        -------
        dict
            weights (S, K), means (S, K, D); unless they are known covariances (S, K, D, D), tied
            (S, D, D), diag (S, K, D), spherical (S, K); and, unless it is fixed, C0 (S, D, D), diag
            (S, D), spherical (S,).
        """
        rng = generator(random_seed)
        shape = (n, n_components)
        draws = {
            "weights": laws.draw_dirichlet(self.concentrations(n_components), n, rng),
            "means": laws.draw_normal(self.m0, self.B0, shape, rng),
        }
        own = self._covariances
        if own.is_free:
            scale = self.C0
            if scale is None:
                scale = draws["C0"] = own.draw_scale(self.g0, self.G0, n, rng)
            draws["covariances"] = own.draw(self.c0, scale, shape, rng)
        return draws

    def log_prior(
        self,
        weights: np.ndarray,
        means: np.ndarray,
        covariances: Any = None,
        C0: Any = None,
    ) -> dict[str, np.ndarray]:
        """Return the normalised log density of each parameter, in nats.

        Parameters
        ----------
        weights : ndarray, shape (..., K)
        means : ndarray, shape (..., K, D)
        covariances, C0 : ndarray, optional
            As `draw` returns them; not for identity, and C0 only unless it is fixed.

        Returns
        -------
        dict
            Arrays (...,), one for each parameter given: components are summed. The density of
            the weights is that of the first K - 1.
        """
        concentrations = self.concentrations(weights.shape[-1])
        logs = {
            "weights": laws.log_dirichlet(weights, concentrations),
            "means": laws.log_normal(means, self.m0, self.B0).sum(axis=-1),
        }
        own = self._covariances
        if own.is_free:
            scale = self.C0 if C0 is None else C0
            logs["covariances"] = own.log_density(covariances, self.c0, scale)
            if self.C0 is None:
                logs["C0"] = own.log_density_scale(C0, self.g0, self.G0)
        return logs

    def to_json(self) -> str:
        """Return every number as JSON; numbers survive to the last bit."""
        state: dict[str, Any] = {"format": FORMAT, "version": 1}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            state[field.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return json.dumps(state)

    @classmethod
    def from_json(cls, text: str) -> "Prior":
        """Return the prior that `to_json` described."""
        try:
            state = json.loads(text)
        except (TypeError, ValueError):
            raise InvalidFileError("A prior must be JSON that Prior.to_json wrote.") from None
        names = [field.name for field in dataclasses.fields(cls)]
        check_state(state, FORMAT, names)
        return cls(**{name: state[name] for name in names})
