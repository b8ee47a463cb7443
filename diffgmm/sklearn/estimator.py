"""`GaussianMixture` with scikit-learn's interface and this package's search and kernels.

What scikit-learn's class promises (constructor, validation, sampling) is inherited; what it
computes (start, EM, densities, labels) is done here, without an array of rows x components.
"""

import inspect
import math
import warnings
from typing import Any, ClassVar, NamedTuple

import numpy as np
import sklearn.mixture
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ..covariance import FAMILIES, Family
from ..kernels.bundles import Components
from ..learn.em import Parameters, Problem, expect
from . import densities, starts
from .steps import check_weights, explained, problem_of, update

# scikit-learn's words, which its users may match.
NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)

# Runs whose log likelihoods per row differ by less found the same optimum: the first one is kept.
SAME_OPTIMUM = 1e-9


class Run(NamedTuple):
    """One run of EM: where it ended, and the mean log likelihood per row before each iteration."""

    parameters: Parameters
    lower_bounds: list[float]
    converged: bool

    @property
    def lower_bound(self) -> float:
        """The last mean log likelihood per row, -inf without iterations."""
        return self.lower_bounds[-1] if self.lower_bounds else -math.inf


class GaussianMixture(sklearn.mixture.GaussianMixture):
    """Gaussian mixture that starts from a cover of the data, with the interface of scikit-learn.

    A drop-in for `sklearn.mixture.GaussianMixture`: constructor, attributes and methods are the
    same and mean the same. What differs: `init_params="cover"`, the default, finds the best optimum
    where k-means does not; rows can have weights; every available core is used.

    Parameters
    ----------
    n_components : int, default 1
        Number of components K.
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
        One matrix per component, one for all, variances, or one variance per component.
    tol : float, default 1e-3
        EM stops when the mean log likelihood per row changes by less, in nats.
    reg_covar : float, default 1e-6
        Added to the diagonal of covariances, in squared units of the data.
    max_iter : int, default 100
        EM iterations after the start; 0 returns the start. Fewer than 100 also keep "cover" from
        following several covers of a small data set to their optima.
    n_init : int, default 1
        Starts to try; the one with the largest log likelihood is kept.
    init_params : {"cover", "kmeans", "k-means++", "random", "random_from_data"}, default "cover"
        "cover" starts from more components than asked for, merges the cheapest and leaves wrong
        optima by splitting and merging; components are numbered by their first feature's mean. The
        others are scikit-learn's, and with the same `random_state` they start where scikit-learn
        does (except "tied" from single rows, where scikit-learn's components end in one place).
    weights_init : array-like, shape (K,), optional
    means_init : array-like, shape (K, D), optional
    precisions_init : array-like, optional
        Where to start, precisions in the shape of `precisions_`. What is not given comes from
        `init_params`; "cover" orders what it found to fit what was given.
    random_state : int, RandomState or None, default None
        For starts and for `sample`; an integer repeats both.
    warm_start : bool, default False
        Start from the last fit.
    verbose, verbose_interval : int, default 0 and 10
        Print progress, every so many iterations.

    Attributes
    ----------
    weights_ : ndarray, shape (K,)
    means_ : ndarray, shape (K, D)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Shape (K, D, D) for "full", (D, D) for "tied", (K, D) for "diag", (K,) for "spherical";
        matrices of precisions are U U' with U in `precisions_cholesky_`.
    converged_ : bool
    n_iter_ : int
        EM iterations after the best start.
    lower_bound_ : float
        Mean log likelihood per row before the last iteration, in nats.
    lower_bounds_ : list of float
        The same for every iteration.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (D,)
        Only when X has them.

    References
    ----------
    Gatmiry, Kelner, Lee (2025), arXiv:2404.18869: warm starts that cover.

    Examples
    --------
    >>> import numpy as np
    >>> from diffgmm.sklearn import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> found = GaussianMixture(2, random_state=0).fit(X, sample_weight=[1, 1, 1, 2, 2, 2])
    >>> found.means_.round(3)
    array([[ 1.,  2.],
           [10.,  2.]])
    >>> found.weights_.round(3)
    array([0.333, 0.667])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **sklearn.mixture.GaussianMixture._parameter_constraints,
        "init_params": [StrOptions(set(starts.STARTS))],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "cover",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        super().__init__(
            n_components,
            covariance_type=covariance_type,
            tol=tol,
            reg_covar=reg_covar,
            max_iter=max_iter,
            n_init=n_init,
            init_params=init_params,
            weights_init=weights_init,
            means_init=means_init,
            precisions_init=precisions_init,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
            verbose_interval=verbose_interval,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = False
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "GaussianMixture":
        """Find a start, and from it run EM until the log likelihood changes by less than `tol`.

        Parameters
        ----------
        X : array-like, shape (N, D)
        y : ignored
        sample_weight : array-like, shape (N,), optional
            How often each row counts: not negative, only ratios matter. Integer weights equal
            repeated rows, and 0 leaves a row out.

        Returns
        -------
        self
        """
        self._fit(X, sample_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit, and return the most probable component of every row, shape (N,).

        Parameters
        ----------
        X : array-like, shape (N, D)
        y : ignored
        sample_weight : array-like, shape (N,), optional
            As in `fit`; rows of weight 0 get a label as well.
        """
        return densities.labels(self._fit(X, sample_weight), self._components())

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the log density of every row of X (N, D), shape (N,), in nats."""
        values = self._values(X)
        return self._typed(densities.log_density(values, self._components()), values)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the mean log density of the rows of X (N, D), in nats.

        Parameters
        ----------
        X : array-like, shape (N, D)
        y : ignored
        sample_weight : array-like, shape (N,), optional
            How often each row counts.
        """
        log_density = self.score_samples(X)
        if sample_weight is None:
            return float(log_density.mean())
        return float(np.average(log_density, weights=check_weights(sample_weight, log_density)))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable component of every row of X (N, D), shape (N,)."""
        return densities.labels(self._values(X), self._components())

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return p(component | row) for every row of X (N, D), shape (N, K)."""
        values = self._values(X)
        return self._typed(densities.responsibilities(values, self._components()), values)

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Return Akaike's information criterion on X (N, D); the lower the better."""
        log_likelihood, _ = self._log_likelihood(X, sample_weight)
        return -2.0 * log_likelihood + 2.0 * self._n_parameters()

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Return the Bayesian information criterion on X (N, D); the lower the better."""
        log_likelihood, n_rows = self._log_likelihood(X, sample_weight)
        return -2.0 * log_likelihood + math.log(n_rows) * self._n_parameters()

    def _log_likelihood(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        log_density = self.score_samples(X)
        if sample_weight is None:
            return float(log_density.mean()) * len(log_density), len(log_density)
        weights = check_weights(sample_weight, log_density)
        return float(weights @ log_density), float(weights.sum())

    def _values(self, X: Any) -> np.ndarray:
        """Return X as C-ordered float64 or float32, with the features of the fit."""
        check_is_fitted(self)
        values = np.asarray(validate_data(self, X, reset=False))
        kind = np.float32 if values.dtype == np.float32 else np.float64
        return np.ascontiguousarray(values, dtype=kind)

    def _typed(self, out: np.ndarray, values: np.ndarray) -> np.ndarray:
        return out.astype(np.result_type(values.dtype, self.means_.dtype), copy=False)

    def _components(self) -> Components:
        return densities.components_of(
            self.weights_, self.means_, self.precisions_cholesky_, self.covariance_type
        )

    def _fit(self, X: Any, sample_weight: Any) -> np.ndarray:
        """Set the fitted attributes and return X as an array."""
        kinds = [np.float64, np.float32]
        X = validate_data(self, X, dtype=kinds, order="C", ensure_min_samples=2)
        values = np.asarray(X)
        problem = problem_of(values, sample_weight, FAMILIES[self.covariance_type])
        n_rows = len(problem.rows.values)
        if n_rows < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {n_rows}"
            )
        self._check_given(values)
        with explained():
            best = self._best_run(problem)
            self._keep(best.parameters, problem.family, values.dtype)
        self.converged_ = best.converged
        self.n_iter_ = len(best.lower_bounds)
        self.lower_bounds_ = best.lower_bounds
        self.lower_bound_ = best.lower_bound
        if not best.converged and self.max_iter > 0:
            # Four frames up: this method, `fit`, scikit-learn's wrapper, its caller.
            warnings.warn(NOT_CONVERGED, ConvergenceWarning, stacklevel=4)
        return values

    def _check_given(self, values: np.ndarray) -> None:
        """Check `weights_init`, `means_init` and `precisions_init` in scikit-learn's own words."""
        check = super()._check_parameters
        # Before 1.8 the check has no such argument, since then it needs one.
        namespace = {"xp": np} if "xp" in inspect.signature(check).parameters else {}
        check(values, **namespace)

    def _best_run(self, problem: Problem) -> Run:
        """Return the run of EM with the largest log likelihood; the only one after a warm start."""
        if self.warm_start and hasattr(self, "converged_"):
            self._print_verbose_msg_init_beg(0)
            last = starts.from_last_fit(
                problem, self.n_components, self.weights_, self.means_, self.covariances_
            )
            return self._run(problem, last, self.lower_bound_)
        random_state = check_random_state(self.random_state)
        shape = (self.n_components, problem.rows.values.shape[1])
        given = starts.given_parameters(
            self.weights_init, self.means_init, self.precisions_init, problem.family, shape
        )
        settings = starts.Settings(self.reg_covar, self.max_iter)
        best: Run | None = None
        for init in range(self.n_init):
            self._print_verbose_msg_init_beg(init)
            start = starts.find(
                self.init_params, given, problem, self.n_components, settings, random_state
            )
            run = self._run(problem, start, -math.inf)
            if best is None or run.lower_bound > best.lower_bound + SAME_OPTIMUM:
                best = run
        assert best is not None  # n_init is at least 1
        return best

    def _run(self, problem: Problem, parameters: Parameters, lower_bound: float) -> Run:
        """Run EM from `parameters`, whose log likelihood is compared with `lower_bound`."""
        lower_bounds: list[float] = []
        converged = False
        while len(lower_bounds) < self.max_iter and not converged:
            previous = lower_bound
            lower_bound, statistics = expect(problem, parameters)
            parameters = update(problem.family, parameters, statistics, self.reg_covar)
            lower_bounds.append(lower_bound)
            self._print_verbose_msg_iter_end(len(lower_bounds), lower_bound - previous)
            converged = abs(lower_bound - previous) < self.tol
        if lower_bounds:
            self._print_verbose_msg_init_end(lower_bound, converged)
        return Run(parameters, lower_bounds, converged)

    def _keep(self, parameters: Parameters, family: Family, dtype: np.dtype) -> None:
        """Set the attributes that hold the mixture, in scikit-learn's shapes and X's type."""
        covariances = parameters.covariances
        roots, _ = family.factors(covariances, parameters.means.shape[1])
        if roots.ndim == 3:
            precisions = np.swapaxes(roots, 1, 2) @ roots
            roots = np.swapaxes(roots, 1, 2)
        else:
            precisions = roots**2
        if family.is_shared:
            covariances, roots, precisions = covariances[0], roots[0], precisions[0]
        self.weights_ = parameters.weights.astype(dtype)
        self.means_ = parameters.means.astype(dtype)
        self.covariances_ = covariances.astype(dtype)
        self.precisions_ = precisions.astype(dtype)
        self.precisions_cholesky_ = roots.astype(dtype)
