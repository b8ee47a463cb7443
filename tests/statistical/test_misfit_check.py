"""How often the misfit check alarms: 5 % where the mixture is right, nearly always where it is not."""

import numpy as np
import pytest
import targets

import diffgmm

pytestmark = pytest.mark.statistical

LEVEL = 0.05


def alarms(draw, n_components, n_sets, n_bootstrap=19):
    """Return in how many data sets of draw(rng) the check alarms at 5 %."""
    count = 0
    for seed in range(n_sets):
        rows = draw(np.random.default_rng([11, seed]))
        found = diffgmm.fit(rows, n_components, random_seed=seed, progressbar=False, cores=1)
        report = diffgmm.check(
            found, rows, n_bootstrap=n_bootstrap, random_seed=seed, progressbar=False, cores=1
        )
        count += report.p_value <= LEVEL
    return count


def heavy(rng, n=400):
    """Return two t(4) components in the plane."""
    scale = np.sqrt(rng.chisquare(4, size=(n, 1)) / 4.0)
    centres = np.array([[0.0, 0.0], [8.0, 0.0]])
    return centres[rng.integers(2, size=n)] + rng.normal(size=(n, 2)) / scale


def test_it_is_silent_where_the_mixture_is_right():
    """At most 9 of 40: a false alarm of the test once in 10,000 (binomial, 5 %)."""
    mixture = targets.TARGETS["two_on_a_line"]
    assert alarms(lambda rng: mixture.sample(300, rng), 2, 40) <= 9


def test_it_speaks_where_components_have_heavy_tails():
    """The planted fault: at least 8 of 10; with the power of 0.97 measured, 7 come in one of 300."""
    assert alarms(heavy, 2, 10) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two_on_a_line", "three_in_the_plane"])
def test_the_rate_is_five_percent(name):
    """Of 200 data sets 2 to 22: a false alarm once in 1,000."""
    mixture = targets.TARGETS[name]
    count = alarms(lambda rng: mixture.sample(500, rng), mixture.n_components, 200)
    assert 2 <= count <= 22


@pytest.mark.slow
@pytest.mark.parametrize(("gap", "least"), [(3.0, 16), (0.0, 0)])
def test_two_components_for_three(gap, least):
    """20 data sets of 1,500 rows: the power is 0.9 or more at a gap of 3; at 0 there are but two."""
    centres = np.array([[0.0, 0.0], [gap, 0.0], [8.0, 3.0]])

    def draw(rng):
        return centres[rng.integers(3, size=1500)] + rng.normal(size=(1500, 2))

    count = alarms(draw, 2, 20, n_bootstrap=39)
    assert count >= least
    assert gap > 0.0 or count <= 6  # false alarm once in 3,000
