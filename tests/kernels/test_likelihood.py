"""Likelihood and gradient as functions of a mixture's parameters, against complex steps."""

import numpy as np
import pytest

from diffgmm.kernels import likelihood

# Complex steps have no truncation error; what is left is rounding of inverses of matrices whose
# condition numbers are below 1e3, and of sums of 200 terms.
RELATIVE = 1e-10
STEP = 1e-30

FORMS = {
    "chol": likelihood.CHOLESKY,
    "cov": likelihood.COVARIANCE,
    "tau": likelihood.PRECISION,
    "diag": likelihood.CHOLESKY,
    "spherical": likelihood.CHOLESKY,
}
forms = pytest.mark.parametrize("form", FORMS)


def parameters(rng, form, k=3, d=3):
    roots = rng.standard_normal((k, d, d))
    covariances = roots @ np.swapaxes(roots, 1, 2) / d + 0.5 * np.eye(d)
    spread = {
        "chol": np.linalg.cholesky(covariances),
        "cov": covariances,
        "tau": np.linalg.inv(covariances),
        "diag": rng.uniform(0.5, 2.0, (k, d)),
        "spherical": rng.uniform(0.5, 2.0, k),
    }[form]
    log_weights = np.log(rng.dirichlet(np.full(k, 2.0)))
    return log_weights, 2.0 * rng.standard_normal((k, d)), np.ascontiguousarray(spread)


def covariance(spread, form, d):
    """Return the covariance of one component; analytic, so that complex steps go through."""
    if form == "chol":
        return spread @ spread.T
    if form == "tau":
        return np.linalg.inv(spread)
    return spread if form == "cov" else np.diag(np.broadcast_to(spread, (d,)) ** 2)


def log_densities(values, log_weights, means, spread, form):
    d, joint = values.shape[1], []
    for log_weight, mean, own in zip(log_weights, means, spread):
        matrix = covariance(own, form, d)
        step = values - mean
        square = np.einsum("na,ab,nb->n", step, np.linalg.inv(matrix), step)
        joint.append(
            log_weight - 0.5 * (square + np.log((2.0 * np.pi) ** d * np.linalg.det(matrix)))
        )
    joint = np.array(joint)
    top = joint.real.max(axis=0)
    return top + np.log(np.exp(joint - top).sum(axis=0))


def by_complex_steps(values, weights, arrays, form):
    """Return the derivatives of the weighted log likelihood by every entry of every array."""
    out = []
    for which, array in enumerate(arrays):
        derivative = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            moved = [np.array(a, dtype=complex) for a in arrays]
            moved[which][index] += 1j * STEP
            derivative[index] = weights @ log_densities(values, *moved, form).imag / STEP
        out.append(derivative)
    return out


def kernel_gradient(values, weights, arrays, form, moments=1):
    gradient = tuple(np.zeros(array.shape) for array in arrays)
    total = likelihood.signed_likelihood(values, weights, *arrays, FORMS[form], moments, gradient)
    return total, gradient


def comparable(derivative, form):
    """Return what is defined: of a triangular factor its triangle, of a symmetric matrix any half."""
    if form == "chol":
        return np.tril(derivative)
    if form in ("cov", "tau"):
        return derivative + np.swapaxes(derivative, 1, 2)
    return derivative


@forms
@pytest.mark.parametrize("d", [1, 3])
def test_densities_equal_the_reference(form, d, rng):
    arrays = parameters(rng, form, d=d)
    values, out = 3.0 * rng.standard_normal((130, d)), np.empty(130)
    likelihood.log_likelihoods(values, *arrays, FORMS[form], out)
    np.testing.assert_allclose(out, log_densities(values, *arrays, form), rtol=RELATIVE)


@forms
@pytest.mark.parametrize("signs", ["ones", "positive", "both"])
def test_gradients_equal_complex_steps(form, signs, rng):
    arrays = parameters(rng, form)
    values = 3.0 * rng.standard_normal((40, 3))
    weights = {
        "ones": np.empty(0),
        "positive": rng.uniform(0.0, 2.0, 40),
        "both": rng.standard_normal(40),
    }[signs]
    total, gradient = kernel_gradient(values, weights, arrays, form)
    used = np.ones(40) if signs == "ones" else weights
    assert total == pytest.approx(used @ log_densities(values, *arrays, form), rel=1e-9)
    for which, exact in enumerate(by_complex_steps(values, used, arrays, form)):
        pair = gradient[which], exact
        if which == 2:
            pair = comparable(pair[0], form), comparable(pair[1], form)
        np.testing.assert_allclose(pair[0], pair[1], atol=RELATIVE * np.abs(pair[1]).max())


@pytest.mark.parametrize("form", ["diag", "spherical"])
def test_without_moments_the_other_derivatives_are_the_same(form, rng):
    arrays = parameters(rng, form)
    values = rng.standard_normal((40, 3))
    total, gradient = kernel_gradient(values, np.empty(0), arrays, form)
    again, partial = kernel_gradient(values, np.empty(0), arrays, form, moments=0)
    assert total == again
    np.testing.assert_array_equal(partial[0], gradient[0])
    np.testing.assert_array_equal(partial[1], gradient[1])
    assert not partial[2].any()


@forms
def test_scores_equal_complex_steps(form, rng):
    arrays = parameters(rng, form)
    values, out = rng.standard_normal((5, 3)), np.empty((5, 3))
    likelihood.scores(values, *arrays, FORMS[form], out)
    exact = np.empty((5, 3))
    for a in range(3):
        moved = values.astype(complex)
        moved[:, a] += 1j * STEP
        exact[:, a] = log_densities(moved, *arrays, form).imag / STEP
    np.testing.assert_allclose(out, exact, atol=RELATIVE * np.abs(exact).max())


@pytest.mark.parametrize(
    ("form", "bad"),
    [
        ("chol", np.array([[1.0, 0.0], [2.0, 0.0]])),
        ("chol", np.array([[-1.0, 0.0], [0.0, 1.0]])),
        ("cov", np.array([[1.0, 2.0], [2.0, 1.0]])),
        ("cov", np.array([[1.0, 1.0], [1.0, 1.0]])),
        ("tau", np.array([[1.0, 2.0], [2.0, 1.0]])),
        ("tau", np.array([[np.nan, 0.0], [0.0, 1.0]])),
        ("diag", np.array([0.0, 1.0])),
        ("spherical", np.array(-1.0)),
    ],
)
def test_no_density_without_a_positive_spread(form, bad, rng):
    log_weights, means, spread = parameters(rng, form, k=2, d=2)
    spread[1] = bad
    values, out, slope = np.zeros((3, 2)), np.zeros(3), np.ones((3, 2))
    arrays = log_weights, means, spread
    likelihood.log_likelihoods(values, *arrays, FORMS[form], out)
    assert np.all(out == -np.inf)
    total, gradient = kernel_gradient(values, np.empty(0), arrays, form)
    assert total == -np.inf
    assert not any(array.any() for array in gradient)
    likelihood.scores(values, *arrays, FORMS[form], slope)
    assert not slope.any()


def test_a_missing_parameter_makes_the_density_missing(rng):
    log_weights, means, spread = parameters(rng, "spherical")
    means[0, 0] = np.nan
    total, _ = kernel_gradient(
        np.zeros((3, 3)), np.empty(0), (log_weights, means, spread), "spherical"
    )
    assert np.isnan(total)
