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
from . import law_of_k, laws
from .checks import numbers, positive_definite
from .families import CovariancePrior, covariance_prior
from .prior_checks import check_known, checked_covariances, checked_law_of_k, checked_weights

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

    With an unknown number of components (`diffgmm.sample` without `n_components`) the weights have
    the law of a dynamic mixture of finite mixtures::

        K - 1       ~ beta-negative-binomial(*k_bnb), up to max_components
        alpha       ~ f(*alpha_df), or fixed
        weights | K ~ dirichlet(alpha / K, ..., alpha / K)

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
        K; any number when not given, or unknown.
    covariance_type : {"full", "tied", "diag", "spherical", "identity"}
    data_scaled : bool, default False
        Whether the numbers were set from the data, which then count twice.
    k_bnb : sequence of three floats, default (1, 4, 3)
        (a, b, c): K - 1 = x has probability ~ Gamma(a + x) / x! B(a + b, x + c).
    k_probabilities : array-like, optional
        Of K = 1, 2, ..., in place of k_bnb; they are divided by their sum.
    max_components : int, default 100
        Largest K; the law is cut off there. The default leaves out 3e-6 of it.
    alpha_df : sequence of two floats, default (6, 3)
        Degrees of freedom of alpha.
    alpha : float, optional
        Fixed when given.
    dynamic : bool, default True
        False makes weights | K ~ dirichlet(concentration) without alpha: a static mixture.

    Raises
    ------
    InvalidParameterError
        When a number is outside its range or shapes disagree.

    Examples
    --------
    >>> prior = Prior(m0=[0.0], B0=[[4.0]], c0=2.0, C0=[[0.5]])
    >>> prior.replace(concentration=0.5).concentration
    array(0.5)

    References
    ----------
    Frühwirth-Schnatter, Malsiner-Walli, Grün (2021), Bayesian Analysis 16(4), 1279-1307,
    doi:10.1214/21-BA1294.
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
    k_bnb: Any = (1.0, 4.0, 3.0)
    k_probabilities: Any = None
    max_components: int = 100
    alpha_df: Any = (6.0, 3.0)
    alpha: float | None = None
    dynamic: bool = True

    def __post_init__(self) -> None:
        m0 = numbers("m0", self.m0)
        if m0.ndim != 1 or m0.size == 0:
            raise InvalidParameterError(f"m0 must have shape (D,), got {m0.shape}.")
        family_of(self.covariance_type)
        self._set("m0", m0)
        self._set("B0", positive_definite("B0", self.B0, m0.size))
        checked = {**checked_weights(self), **checked_law_of_k(self)}
        if self._covariances.is_free:
            checked |= checked_covariances(self, self._covariances, m0.size)
        else:
            check_known(self)
        for name, value in checked.items():
            self._set(name, value)

    def __repr__(self) -> str:
        return f"Prior({self.to_json()})"

    def _set(self, name: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        object.__setattr__(self, name, value)

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
            Entry k is the probability that k of the K components have at least one of n rows;
            with K unknown (max_components + 1,), at some milliseconds for each row.
        """
        n = check_count("n", n)
        if self.n_components is None:
            return law_of_k.filled_components(self, n)
        return laws.filled_components(self.concentrations(self.n_components), n)

    def draw(
        self, n_components: int | None, n: int, random_seed: Seed = None
    ) -> dict[str, np.ndarray]:
        """Return n draws of the parameters.

        Parameters
        ----------
        n_components : int or None
            K; None when it is drawn, too.
        n : int
            Number of draws S.
        random_seed : int, sequence of int, Generator or None

        Returns
        -------
        dict
            weights (S, K), means (S, K, D); unless they are known covariances (S, K, D, D), tied
            (S, D, D), diag (S, K, D), spherical (S, K); and, unless it is fixed, C0 (S, D, D), diag
            (S, D), spherical (S,). With K unknown n_components (S,) and, unless it is fixed, alpha
            (S,), too; entries beyond a draw's own K are NaN.
        """
        rng = generator(random_seed)
        if n_components is None:
            draws = law_of_k.draw(self, n, rng)
        else:
            draws = {"weights": laws.draw_dirichlet(self.concentrations(n_components), n, rng)}
        shape = draws["weights"].shape
        draws["means"] = laws.draw_normal(self.m0, self.B0, shape, rng)
        own = self._covariances
        if own.is_free:
            scale = self.C0
            if scale is None:
                scale = draws["C0"] = own.draw_scale(self.g0, self.G0, n, rng)
            draws["covariances"] = own.draw(self.c0, scale, shape, rng)
        unused = np.isnan(draws["weights"])
        draws["means"][unused] = np.nan
        if own.is_labelled:
            draws["covariances"][unused] = np.nan
        return draws

    def log_prior(
        self,
        weights: np.ndarray,
        means: np.ndarray,
        covariances: Any = None,
        C0: Any = None,
        *,
        n_components: Any = None,
        alpha: Any = None,
    ) -> dict[str, np.ndarray]:
        """Return the normalised log density of each parameter, in nats.

        Parameters
        ----------
        weights : ndarray, shape (..., K)
        means : ndarray, shape (..., K, D)
        covariances, C0 : ndarray, optional
            As `draw` returns them; not for identity, and C0 only unless it is fixed.
        n_components, alpha : ndarray, shape (...), optional
            With K unknown; alpha only if it is drawn. Entries beyond each K are not looked at.

        Returns
        -------
        dict
            Arrays (...,), one for each parameter given: components are summed. The density of
            the weights is that of the first K - 1.
        """
        if n_components is not None:
            return law_of_k.log_prior(self, (weights, means, covariances, C0), n_components, alpha)
        concentrations = self.concentrations(weights.shape[-1])
        return {
            "weights": laws.log_dirichlet(weights, concentrations),
            **self.log_prior_of_components(means, covariances, C0),
        }

    def log_prior_of_components(
        self, means: np.ndarray, covariances: Any = None, C0: Any = None
    ) -> dict[str, np.ndarray]:
        """Return the log densities of `log_prior` but that of the weights."""
        logs = {"means": laws.log_normal(means, self.m0, self.B0).sum(axis=-1)}
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
