"""The reference posterior problems: data, priors with all their numbers, and the log density (NumPy and SciPy only).

Model, K fixed, data x of shape (n, D), labels summed out:
    x_i ~ sum_k w_k N(mu_k, Sigma_k),   w ~ Dirichlet(1, ..., 1),   mu_k ~ N(m0, B0)
"design" prior: R = column ranges, c0 = 2.5 + (D-1)/2, g0 = 0.5 + (D-1)/2, G0 = (100 g0 / c0) diag(1/R^2),
    m0 = column medians, B0 = diag(R^2),
    C0 ~ Wishart(df = 2 g0, scale = (2 G0)^-1),   Sigma_k | C0 ~ InverseWishart(df = 2 c0, scale = 2 C0)
"fixed" prior: m0 = column means, B0 = diag((2 sd)^2) (sd with ddof=1),
    Sigma_k ~ InverseWishart(df, S): faithful df = D+2, S = cov(x) / K^(2/D); galaxies df = 4, S = var(x) / K^2
    (in one dimension that is InverseGamma(shape 2, scale S/2)).
Wishart and InverseWishart are parametrised as in scipy.stats; check_densities() verifies that numerically.
Units are those of the data: velocities in 1000 km/s, eruption lengths and waiting times in minutes.
"""
import numpy as np
from scipy import stats
from scipy.special import gammaln, logsumexp, multigammaln

LOG2PI = np.log(2 * np.pi)

# Velocities in km/s of 82 galaxies (Roeder 1990), as in R's MASS::galaxies, with its well-known 26690 for 26960.
GALAXIES = np.array([
    9172, 9350, 9483, 9558, 9775, 10227, 10406, 16084, 16170, 18419, 18552, 18600, 18927, 19052, 19070,
    19330, 19343, 19349, 19440, 19473, 19529, 19541, 19547, 19663, 19846, 19856, 19863, 19914, 19918,
    19973, 19989, 20166, 20175, 20179, 20196, 20215, 20221, 20415, 20629, 20795, 20821, 20846, 20875,
    20986, 21137, 21492, 21701, 21814, 21921, 21960, 22185, 22209, 22242, 22249, 22314, 22374, 22495,
    22746, 22747, 22888, 22914, 23206, 23241, 23263, 23484, 23538, 23542, 23666, 23706, 23711, 24129,
    24285, 24289, 24366, 24717, 24990, 25633, 26690, 26995, 32065, 32789, 34279], float) / 1000

# Eruption length and waiting time (min) of Old Faithful, as in R's datasets::faithful.
ERUPTIONS = np.array([
    3.6, 1.8, 3.333, 2.283, 4.533, 2.883, 4.7, 3.6, 1.95, 4.35, 1.833, 3.917, 4.2, 1.75, 4.7, 2.167, 1.75,
    4.8, 1.6, 4.25, 1.8, 1.75, 3.45, 3.067, 4.533, 3.6, 1.967, 4.083, 3.85, 4.433, 4.3, 4.467, 3.367,
    4.033, 3.833, 2.017, 1.867, 4.833, 1.833, 4.783, 4.35, 1.883, 4.567, 1.75, 4.533, 3.317, 3.833, 2.1,
    4.633, 2, 4.8, 4.716, 1.833, 4.833, 1.733, 4.883, 3.717, 1.667, 4.567, 4.317, 2.233, 4.5, 1.75, 4.8,
    1.817, 4.4, 4.167, 4.7, 2.067, 4.7, 4.033, 1.967, 4.5, 4, 1.983, 5.067, 2.017, 4.567, 3.883, 3.6,
    4.133, 4.333, 4.1, 2.633, 4.067, 4.933, 3.95, 4.517, 2.167, 4, 2.2, 4.333, 1.867, 4.817, 1.833, 4.3,
    4.667, 3.75, 1.867, 4.9, 2.483, 4.367, 2.1, 4.5, 4.05, 1.867, 4.7, 1.783, 4.85, 3.683, 4.733, 2.3,
    4.9, 4.417, 1.7, 4.633, 2.317, 4.6, 1.817, 4.417, 2.617, 4.067, 4.25, 1.967, 4.6, 3.767, 1.917, 4.5,
    2.267, 4.65, 1.867, 4.167, 2.8, 4.333, 1.833, 4.383, 1.883, 4.933, 2.033, 3.733, 4.233, 2.233, 4.533,
    4.817, 4.333, 1.983, 4.633, 2.017, 5.1, 1.8, 5.033, 4, 2.4, 4.6, 3.567, 4, 4.5, 4.083, 1.8, 3.967,
    2.2, 4.15, 2, 3.833, 3.5, 4.583, 2.367, 5, 1.933, 4.617, 1.917, 2.083, 4.583, 3.333, 4.167, 4.333,
    4.5, 2.417, 4, 4.167, 1.883, 4.583, 4.25, 3.767, 2.033, 4.433, 4.083, 1.833, 4.417, 2.183, 4.8, 1.833,
    4.8, 4.1, 3.966, 4.233, 3.5, 4.366, 2.25, 4.667, 2.1, 4.35, 4.133, 1.867, 4.6, 1.783, 4.367, 3.85,
    1.933, 4.5, 2.383, 4.7, 1.867, 3.833, 3.417, 4.233, 2.4, 4.8, 2, 4.15, 1.867, 4.267, 1.75, 4.483, 4,
    4.117, 4.083, 4.267, 3.917, 4.55, 4.083, 2.417, 4.183, 2.217, 4.45, 1.883, 1.85, 4.283, 3.95, 2.333,
    4.15, 2.35, 4.933, 2.9, 4.583, 3.833, 2.083, 4.367, 2.133, 4.35, 2.2, 4.45, 3.567, 4.5, 4.15, 3.817,
    3.917, 4.45, 2, 4.283, 4.767, 4.533, 1.85, 4.25, 1.983, 2.25, 4.75, 4.117, 2.15, 4.417, 1.817, 4.467], float)
WAITING = np.array([
    79, 54, 74, 62, 85, 55, 88, 85, 51, 85, 54, 84, 78, 47, 83, 52, 62, 84, 52, 79, 51, 47, 78, 69, 74,
    83, 55, 76, 78, 79, 73, 77, 66, 80, 74, 52, 48, 80, 59, 90, 80, 58, 84, 58, 73, 83, 64, 53, 82, 59,
    75, 90, 54, 80, 54, 83, 71, 64, 77, 81, 59, 84, 48, 82, 60, 92, 78, 78, 65, 73, 82, 56, 79, 71, 62,
    76, 60, 78, 76, 83, 75, 82, 70, 65, 73, 88, 76, 80, 48, 86, 60, 90, 50, 78, 63, 72, 84, 75, 51, 82,
    62, 88, 49, 83, 81, 47, 84, 52, 86, 81, 75, 59, 89, 79, 59, 81, 50, 85, 59, 87, 53, 69, 77, 56, 88,
    81, 45, 82, 55, 90, 45, 83, 56, 89, 46, 82, 51, 86, 53, 79, 81, 60, 82, 77, 76, 59, 80, 49, 96, 53,
    77, 77, 65, 81, 71, 70, 81, 93, 53, 89, 45, 86, 58, 78, 66, 76, 63, 88, 52, 93, 49, 57, 77, 68, 81,
    81, 73, 50, 85, 74, 55, 77, 83, 83, 51, 78, 84, 46, 83, 55, 81, 57, 76, 84, 77, 81, 87, 77, 51, 78,
    60, 82, 91, 53, 78, 46, 77, 84, 49, 83, 71, 80, 49, 75, 64, 76, 53, 94, 55, 76, 50, 82, 54, 75, 78,
    79, 78, 78, 70, 79, 70, 54, 86, 50, 90, 54, 54, 77, 79, 64, 75, 47, 86, 63, 85, 82, 57, 82, 67, 74,
    54, 83, 73, 73, 88, 80, 71, 83, 56, 79, 78, 84, 58, 83, 43, 60, 75, 81, 46, 90, 46, 74], float)


class Problem:
    """One data set with one prior; `log_prior` and `log_density` take draws with any leading batch shape."""

    def __init__(self, name, x, K, prior):
        self.name, self.x, self.K, self.prior = name, x, K, prior
        self.n, self.D = n, D = x.shape
        self.rows = [n // 6, n // 2, 5 * n // 6]
        if prior == "design":
            R = np.ptp(x, axis=0)
            self.m0, self.b = np.median(x, axis=0), R
            self.c0, self.g0 = 2.5 + (D - 1) / 2, 0.5 + (D - 1) / 2
            self.G0 = 100 * self.g0 / self.c0 * np.diag(1 / R**2)
            self.C0_df, self.C0_scale = 2 * self.g0, np.linalg.inv(2 * self.G0)
            self.df, self.S = 2 * self.c0, None  # the scale of Sigma_k is 2 C0
        else:
            self.m0, self.b = x.mean(axis=0), 2 * x.std(axis=0, ddof=1)
            cov = np.atleast_2d(np.cov(x.T))
            self.df, self.S = (4.0 if D == 1 else D + 2.0), cov / K ** (2 / D)

    def describe(self):
        d = {"data": {"n": self.n, "D": self.D, "column_means": self.x.mean(axis=0).tolist()}, "K": self.K,
             "kind": self.prior, "weights": "Dirichlet(1, ..., 1)",
             "means": {"law": "N(m0, diag(b^2)), independent", "m0": self.m0.tolist(), "b": self.b.tolist()}}
        if self.S is None:
            d["C0"] = {"law": "scipy.stats.wishart(df, scale)", "df": self.C0_df, "scale": self.C0_scale.tolist(),
                       "c0": self.c0, "g0": self.g0, "G0": self.G0.tolist()}
            d["covariances"] = {"law": "scipy.stats.invwishart(df, scale = 2 C0), independent given C0", "df": self.df}
        else:
            d["covariances"] = {"law": "scipy.stats.invwishart(df, scale), independent", "df": self.df,
                                "scale": self.S.tolist()}
        return d

    def log_prior(self, w, mu, cov, C0=None):
        """Normalised log prior density of (w, mu, cov, C0); w as a density on the (K-1)-simplex."""
        z = (mu - self.m0) / self.b
        lp = gammaln(self.K) - 0.5 * (z**2 + LOG2PI).sum((-1, -2)) - self.K * np.log(self.b).sum()
        if self.S is None:
            lp = lp + wishart_logpdf(C0, self.C0_df, self.C0_scale)
        S = self.S if self.S is not None else 2 * C0[..., None, :, :]
        return lp + invwishart_logpdf(cov, self.df, S).sum(-1)

    def log_density(self, x, w, mu, cov):
        """log p(x_i | draw) at the rows of x -> (..., len(x))."""
        P = np.linalg.inv(np.linalg.cholesky(cov))  # P (x - mu) is white
        y = np.einsum("...kij,...nkj->...nki", P, x[:, None] - mu[..., None, :, :], optimize=True)
        logdet = np.log(np.diagonal(P, axis1=-2, axis2=-1)).sum(-1)
        with np.errstate(divide="ignore"):
            a = (np.log(w) + logdet)[..., None, :]
        return logsumexp(a - 0.5 * (y**2 + LOG2PI).sum(-1), axis=-1)


def wishart_logpdf(C, df, V):
    D = C.shape[-1]
    return (0.5 * (df - D - 1) * np.linalg.slogdet(C)[1] - 0.5 * np.trace(np.linalg.solve(V, C), axis1=-2, axis2=-1)
            - 0.5 * df * (D * np.log(2) + np.linalg.slogdet(V)[1]) - multigammaln(0.5 * df, D))


def invwishart_logpdf(C, df, S):
    D = C.shape[-1]
    return (0.5 * df * (np.linalg.slogdet(S)[1] - D * np.log(2)) - multigammaln(0.5 * df, D)
            - 0.5 * (df + D + 1) * np.linalg.slogdet(C)[1] - 0.5 * np.trace(np.linalg.solve(C, S), axis1=-2, axis2=-1))


def random_parameters(p, rng):
    """One rough draw (w, mu, cov, C0 or None) for checks."""
    def spd(scale):
        A = rng.standard_normal((p.D, p.D + 3)) * scale[:, None]
        return A @ A.T / (p.D + 3)
    sd = p.x.std(axis=0)
    return (rng.dirichlet(np.ones(p.K)), p.m0 + p.b * rng.standard_normal((p.K, p.D)),
            np.array([spd(sd) for _ in range(p.K)]), spd(sd) if p.S is None else None)


def check_densities(p, seed=0):
    """Largest difference of log_prior + log-likelihood from a sum of scipy.stats terms at 20 random points."""
    rng, worst = np.random.default_rng(seed), 0.0
    for _ in range(20):
        w, mu, cov, C0 = random_parameters(p, rng)
        lp = stats.dirichlet.logpdf(w, np.ones(p.K)) + stats.norm.logpdf(mu, p.m0, p.b).sum()
        if C0 is not None:
            lp += stats.wishart.logpdf(C0, p.C0_df, p.C0_scale)
        lp += sum(stats.invwishart.logpdf(c, p.df, 2 * C0 if p.S is None else p.S) for c in cov)
        if p.D == 1 and p.S is not None:  # the same prior said as InverseGamma(2, var / (2 K^2))
            ig = stats.invgamma.logpdf(cov[:, 0, 0], 2, scale=0.5 * p.x.var(ddof=1) / p.K**2).sum()
            worst = max(worst, abs(ig - invwishart_logpdf(cov, p.df, p.S).sum()))
        pdf = sum(w[k] * stats.multivariate_normal.pdf(p.x, mu[k], cov[k]) for k in range(p.K))
        ok = pdf > 1e-290  # plain densities may underflow far from all components
        own = p.log_density(p.x, w, mu, cov)
        worst = max(worst, abs(p.log_prior(w, mu, cov, C0) - lp), np.abs(own[ok] - np.log(pdf[ok])).max())
    return float(worst)


FAITHFUL = np.column_stack([ERUPTIONS, WAITING])
PROBLEMS = {f"{data}-{prior}": Problem(f"{data}-{prior}", x, K, prior)
            for data, x, K in (("faithful", FAITHFUL, 2), ("galaxies", GALAXIES[:, None], 3))
            for prior in ("design", "fixed")}
