"""EM of a small search ends next to an optimum that it has been to, and only there."""

import numpy as np
import pytest

from diffgmm.covariance import FAMILIES
from diffgmm.data import raw_rows
from diffgmm.learn import candidates, em
from diffgmm.learn.candidates import NEAR, Settled, _Neighbourhood
from diffgmm.learn.em import Parameters, Problem, expect, run_em

COVARIANCES = {
    "full": np.array(
        [[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 3.0]], [[4.0, -1.0], [-1.0, 1.0]]]
    ),
    "diag": np.array([[2.0, 1.0], [1.0, 3.0], [4.0, 1.0]]),
    "spherical": np.array([2.0, 1.0, 4.0]),
}


class OfFamily:
    """All that a neighbourhood asks of a problem."""

    def __init__(self, kind):
        self.family = FAMILIES[kind]


def optimum(kind):
    means = np.array([[0.0, 0.0], [3.0, 1.0], [-4.0, 2.0]])
    return Parameters(np.array([0.5, 0.3, 0.2]), means, COVARIANCES[kind])


def numbered(parameters, order):
    return Parameters(*(array[order] for array in parameters))


def has(kind, parameters, log_likelihood=-3.0):
    return _Neighbourhood(OfFamily(kind), Settled(-4.0, optimum(kind), -3.0)).has(
        parameters, log_likelihood
    )


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize(("step", "is_near"), [(0.9, True), (1.1, False)])
def test_all_parameters_must_be_close(kind, step, is_near):
    """In any numbering: a mean by its standard deviation, a weight and a covariance by shares."""
    here, order = optimum(kind), [2, 0, 1]
    assert has(kind, numbered(here, order))
    sd = np.sqrt(2.0)  # of the first component's first feature
    means = here.means + np.array([[step * NEAR * sd, 0.0], [0.0, 0.0], [0.0, 0.0]])
    if kind == "full":  # whitened by a triangular factor: along the last feature
        means = here.means + np.array([[0.0, 0.0], [0.0, step * NEAR * np.sqrt(3.0)], [0.0, 0.0]])
    assert has(kind, numbered(here._replace(means=means), order)) == is_near
    weights = here.weights * [1.0, 1.0 + step * NEAR, 1.0]
    assert has(kind, here._replace(weights=weights)) == is_near
    wider = here.covariances.copy()
    wider[1] *= 1.0 + step * NEAR
    assert has(kind, here._replace(covariances=wider)) == is_near


def test_higher_and_much_lower_places_are_elsewhere():
    assert has("full", optimum("full"), -3.0 - 0.9 * NEAR**2)
    assert not has("full", optimum("full"), -3.0 - 1.1 * NEAR**2)
    assert not has("full", optimum("full"), -3.0 + 1e-9)


def test_two_components_on_one_are_elsewhere():
    """On either side: where two are alike, one is not both of them."""
    here = optimum("full")
    twice = numbered(here, [0, 0, 2])
    assert not has("full", twice)
    alike = _Neighbourhood(OfFamily("full"), Settled(-4.0, twice, -3.0))
    weights = twice.weights
    assert not alike.has(here._replace(weights=weights), -3.0)


@pytest.fixture
def overlapping(rng):
    """A problem that EM is slow on, and a start."""
    x = np.concatenate([rng.standard_normal((150, 2)), 2.0 + rng.standard_normal((150, 2))])
    start = Parameters(np.array([0.5, 0.5]), x[[0, -1]], np.stack([np.eye(2)] * 2))
    return Problem.of(raw_rows(x), FAMILIES["full"]), start


@pytest.mark.usefixtures("compiled")
def test_em_ends_where_it_is_told(overlapping):
    """Before its next step, and the place is what it returns."""
    seen = []
    ended = run_em(*overlapping, ends_at=lambda *place: seen.append(place) or len(seen) == 3)
    assert len(seen) == 3
    assert ended.parameters is seen[-1][0]
    assert ended.log_likelihood == seen[-1][1]
    assert not ended.converged
    assert run_em(*overlapping).n_passes > ended.n_passes


@pytest.mark.usefixtures("compiled")
def test_the_way_to_a_known_optimum_is_not_gone_again(overlapping, monkeypatch):
    """With fewer passes, and the optimum itself comes back, as often as it is met."""
    problem, start = overlapping
    passes = []
    monkeypatch.setattr(em, "expect", lambda *given: passes.append(1) or expect(*given))
    found = candidates._settle(problem, [start], [])
    first = len(passes)
    other = numbered(start, [1, 0])
    again = candidates._settle(problem, [other, start], found)
    assert len(again) == 1
    assert again[0] is found[0]
    assert len(passes) - first < 2 * first
