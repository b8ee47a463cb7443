"""The mixture as a value: its files, copies and layouts, and everything that it refuses."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import targets

from diffgmm import GaussianMixture
from diffgmm.arguments import check_count
from diffgmm.errors import InvalidDataError, InvalidFileError, InvalidParameterError


def random_mixture(rng):
    k, d = rng.integers(1, 9), rng.integers(1, 5)
    roots = rng.standard_normal((k, d, d))
    return GaussianMixture(
        rng.dirichlet(np.ones(k)),
        rng.standard_normal((k, d)) * 10.0 ** rng.integers(-8, 8),
        roots @ np.swapaxes(roots, 1, 2) + 0.1 * np.eye(d),
        feature_names=[f"µ{i}" for i in range(d)],
    )


def assert_same_bits(one, other):
    for part in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    assert one.feature_names == other.feature_names


def test_dictionaries_keep_every_bit(rng):
    for _ in range(200):
        mixture = random_mixture(rng)
        state = mixture.to_dict()
        assert_same_bits(GaussianMixture.from_dict(state), mixture)
        assert_same_bits(GaussianMixture.from_dict(json.loads(json.dumps(state))), mixture)


def test_files_keep_every_bit(rng, tmp_path):
    for path in (tmp_path / "a.json", str(tmp_path / "b.json")):
        mixture = random_mixture(rng)
        mixture.save(path)
        assert_same_bits(GaussianMixture.load(path), mixture)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_the_file_is_plain_json(tmp_path):
    path = tmp_path / "line.json"
    targets.two_on_a_line().save(path)
    assert json.loads(path.read_text()) == {
        "format": "diffgmm.GaussianMixture",
        "version": 1,
        "weights": [0.3, 0.7],
        "means": [[-2.0], [1.5]],
        "covariances": [[[0.5]], [[1.2]]],
        "feature_names": ["x0"],
    }


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "Expected a dictionary of format 'diffgmm.GaussianMixture'."),
        ([1], "Expected a dictionary of format 'diffgmm.GaussianMixture'."),
        ({"format": "other"}, "Expected a dictionary of format 'diffgmm.GaussianMixture'."),
        (
            {"format": "diffgmm.GaussianMixture", "version": 2},
            "Expected version 1 of 'diffgmm.GaussianMixture', got 2.",
        ),
        (
            {"format": "diffgmm.GaussianMixture", "version": 1, "weights": [1.0], "means": [[0.0]]},
            "The dictionary of format 'diffgmm.GaussianMixture' lacks "
            "['covariances', 'feature_names'].",
        ),
    ],
)
def test_other_dictionaries_are_refused(state, message, tmp_path):
    path = tmp_path / "state.json"
    path.write_text(json.dumps(state))
    for read in (lambda: GaussianMixture.from_dict(state), lambda: GaussianMixture.load(path)):
        with pytest.raises(InvalidFileError) as caught:
            read()
        assert str(caught.value) == message


def test_saving_where_it_cannot_be(tmp_path):
    path = tmp_path / "nowhere" / "a.json"
    with pytest.raises(InvalidFileError) as caught:
        targets.two_on_a_line().save(path)
    assert str(caught.value) == f"Cannot write {str(path)!r}: the folder does not exist."


def test_copies_and_pickles(rng):
    mixture = random_mixture(rng)
    x = rng.standard_normal((3, mixture.n_features))
    for other in (copy.copy(mixture), copy.deepcopy(mixture), pickle.loads(pickle.dumps(mixture))):
        assert_same_bits(other, mixture)
        np.testing.assert_array_equal(other.log_density(x), mixture.log_density(x))


def test_repr():
    assert repr(targets.three_in_the_plane()) == (
        "GaussianMixture(n_components=3, features=['height', 'weight'])"
    )
    assert repr(targets.two_on_a_line()) == "GaussianMixture(n_components=2, features=['x0'])"


def test_sizes_and_names():
    mixture = targets.one_of_them_empty()
    assert (mixture.n_components, mixture.n_features) == (3, 5)
    assert mixture.feature_names == ("x0", "x1", "x2", "x3", "x4")


def test_it_cannot_be_changed():
    mixture = targets.three_in_the_plane()
    for part in ("weights", "means", "covariances", "feature_names"):
        with pytest.raises(FrozenInstanceError):
            setattr(mixture, part, None)
    for part in ("weights", "means", "covariances"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(mixture, part)[0] = 0.0


def test_it_keeps_copies_of_what_it_was_given():
    weights, means, covariances = np.array([1.0]), np.zeros((1, 2)), np.eye(2)[None].copy()
    mixture = GaussianMixture(weights, means, covariances)
    weights[:], means[:], covariances[:] = 0.0, 1.0, 5.0
    np.testing.assert_array_equal(mixture.weights, [1.0])
    np.testing.assert_array_equal(mixture.means, [[0.0, 0.0]])
    np.testing.assert_array_equal(mixture.covariances, [np.eye(2)])


def test_two_mixtures_are_equal_only_if_they_are_one():
    mixture = targets.two_on_a_line()
    assert mixture != targets.two_on_a_line()


def test_weights_almost_summing_to_one_are_normalised():
    mixture = GaussianMixture([0.3, 0.7000005], [[0.0], [1.0]], [[[1.0]], [[1.0]]])
    assert mixture.weights.sum() == pytest.approx(1.0, abs=1e-15)
    assert mixture.weights[0] == pytest.approx(0.3 / 1.0000005, rel=1e-15)


def test_rounding_off_symmetry_is_mended():
    covariance = np.array([[1.0, 0.5], [0.5 + 1e-10, 1.0]])
    mixture = GaussianMixture([1.0], [[0.0, 0.0]], [covariance])
    assert mixture.covariances[0, 0, 1] == mixture.covariances[0, 1, 0]


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_c_ordered_whatever_came(order):
    mixture = targets.one_of_them_empty()
    parts = (mixture.weights, mixture.means, mixture.covariances)
    made = GaussianMixture(*(np.array(part, order=order) for part in parts))
    for one in (made, made.marginal([2, 0, 1]), made.condition({"x0": 0.0})):
        assert one.means.flags.c_contiguous
        assert one._components.means.flags.c_contiguous


LAYOUTS = """
import numpy as np
from diffgmm import GaussianMixture
from diffgmm.kernels import gaussian, score

x = np.random.default_rng(0).standard_normal((40, 2))
locked = x.copy()
locked.flags.writeable = False
mixture = GaussianMixture([0.4, 0.6], [[0.0, 1.0], [2.0, 3.0]], [np.eye(2), 2.0 * np.eye(2)])
fortran = GaussianMixture(mixture.weights, np.asfortranarray(mixture.means), mixture.covariances)
three = GaussianMixture([1.0], [[0.0, 1.0, 2.0]], [np.eye(3)])
rows = [x, locked, np.asfortranarray(x), x[::2], x[:, ::-1], x.tolist(), (x * 9).astype(int), x > 0]
for one in (mixture, fortran, three.marginal([2, 0]), three.condition({0: 1.0}), mixture.noised(2)):
    for y in rows:
        one.log_density(y), one.responsibilities(y), one.predict(y)
        one.score(y), one.score(y, 1), one.score(y, sigma=0.5), one.denoise(y, 1.0)
mixture.score(x[:1])
kernels = (gaussian.log_density, gaussian.responsibilities, score.mixture_score)
print([len(kernel.signatures) for kernel in kernels])
mixture.log_density(x.astype(np.float32))
print(len(gaussian.log_density.signatures))
"""


@pytest.mark.usefixtures("compiled")
def test_public_calls_compile_once(run_python):
    """Whatever the layout of rows and parameters; float32 rows, kept as they are, once more."""
    assert run_python(LAYOUTS).splitlines() == ["[1, 1, 1]", "2"]


ONE = ([1.0], [[0.0, 0.0]], [np.eye(2)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (1.0, [[0.0]], [[[1.0]]]),
            "weights and means must have shapes (K,) and (K, D), got () and (1, 1).",
        ),
        (
            ([1.0], [0.0], [[1.0]]),
            "weights and means must have shapes (K,) and (K, D), got (1,) and (1,).",
        ),
        (
            ([0.5, 0.5], [[0.0]], [[[1.0]]]),
            "weights and means must have shapes (K,) and (K, D), got (2,) and (1, 1).",
        ),
        (
            ([], np.zeros((0, 2)), np.zeros((0, 2, 2))),
            "weights and means must have shapes (K,) and (K, D), got (0,) and (0, 2).",
        ),
        (
            ([1.0], np.zeros((1, 0)), np.zeros((1, 0, 0))),
            "weights and means must have shapes (K,) and (K, D), got (1,) and (1, 0).",
        ),
        (
            ([1.0], [[0.0, 0.0]], [1.0]),
            "covariances must have shape (1, 2, 2), got (1,).",
        ),
        (
            ([1.0], [[0.0, 0.0]], np.eye(2)),
            "covariances must have shape (1, 2, 2), got (2, 2).",
        ),
        (
            ([0.4, 0.4], [[0.0], [1.0]], [[[1.0]], [[1.0]]]),
            "weights must not be negative and must sum to 1, got [0.4, 0.4].",
        ),
        (
            ([1.5, -0.5], [[0.0], [1.0]], [[[1.0]], [[1.0]]]),
            "weights must not be negative and must sum to 1, got [1.5, -0.5].",
        ),
        (
            (["half"], [[0.0]], [[[1.0]]]),
            "weights must be an array of numbers, got ['half'].",
        ),
        (
            ([1.0], [[0.0, 1.0], [0.0]], [[[1.0]]]),
            "means must be an array of numbers, got [[0.0, 1.0], [0.0]].",
        ),
        (
            ([1.0], [[1j]], [[[1.0]]]),
            "means must be an array of numbers, got [[1j]].",
        ),
        (([np.nan], [[0.0]], [[[1.0]]]), "weights must be finite, got NaN or infinity."),
        (([1.0], [[np.inf]], [[[1.0]]]), "means must be finite, got NaN or infinity."),
        (([1.0], [[0.0]], [[[np.nan]]]), "covariances must be finite, got NaN or infinity."),
        (
            ([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.4, 1.0]]]),
            "covariances must be symmetric.",
        ),
        (
            ([0.5, 0.5], [[0.0, 0.0]] * 2, [np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]),
            "covariances must be positive definite, but component 1 has the eigenvalue -1.",
        ),
        (
            ([1.0], [[0.0]], [[[0.0]]]),
            "covariances must be positive definite, but component 0 has the eigenvalue 0.",
        ),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(arguments, message):
    with pytest.raises(InvalidParameterError) as caught:
        GaussianMixture(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a",), "feature_names must name 2 features, got 1."),
        (("a", "b", "c"), "feature_names must name 2 features, got 3."),
        (("a", "a"), "feature_names must be distinct, got ['a', 'a']."),
        ("ab", "feature_names must be a sequence of names, got 'ab'."),
        (5, "feature_names must be a sequence of names, got 5."),
    ],
)
def test_bad_names_are_refused(names, message):
    with pytest.raises(InvalidParameterError) as caught:
        GaussianMixture(*ONE, feature_names=names)
    assert str(caught.value) == message


def test_feature_names_are_a_keyword():
    with pytest.raises(TypeError):
        GaussianMixture(*ONE, ("a", "b"))
    assert GaussianMixture(*ONE, feature_names=np.array(["a", 1])).feature_names == ("a", "1")


@pytest.mark.parametrize(
    ("sigma", "shown"),
    [
        (-1.0, "-1.0"),
        (np.nan, "nan"),
        (np.inf, "inf"),
        (1e200, "1e+200"),
        ("wide", "'wide'"),
        (None, "None"),
        ([1.0, 2.0], "[1.0, 2.0]"),
    ],
)
def test_bad_noise_is_refused(sigma, shown):
    mixture = targets.three_in_the_plane()
    message = f"sigma must be a number, not negative and below 1e150, got {shown}."
    for use in (
        lambda: mixture.noised(sigma),
        lambda: mixture.score([[0.0, 0.0]], sigma),
        lambda: mixture.denoise([[0.0, 0.0]], sigma),
    ):
        with pytest.raises(InvalidParameterError) as caught:
            use()
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("size", "features must be among ['height', 'weight'] or numbers below 2, got 'size'."),
        (2, "features must be among ['height', 'weight'] or numbers below 2, got 2."),
        (-1, "features must be among ['height', 'weight'] or numbers below 2, got -1."),
        (None, "features must be among ['height', 'weight'] or numbers below 2, got None."),
        (0.0, "features must be among ['height', 'weight'] or numbers below 2, got 0.0."),
        (
            [True, False],
            "features must be among ['height', 'weight'] or numbers below 2, got True.",
        ),
        ([], "features must be distinct and not empty, got []."),
        ([0, "height"], "features must be distinct and not empty, got [0, 'height']."),
    ],
)
def test_bad_features_are_refused(features, message):
    with pytest.raises(InvalidParameterError) as caught:
        targets.three_in_the_plane().marginal(features)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "features must be distinct and not empty, got []."),
        (
            {"size": 1.0},
            "features must be among ['height', 'weight'] or numbers below 2, got 'size'.",
        ),
        ({"height": 1.0, "weight": 2.0}, "condition must leave at least one feature unknown."),
        (
            {"height": np.nan},
            "condition needs finite numbers below 1e150 in size, got {'height': nan}.",
        ),
        (
            {"height": "tall"},
            "condition needs finite numbers below 1e150 in size, got {'height': 'tall'}.",
        ),
        (
            ("height", 1.0),
            "condition needs a dictionary of features and their values, got ('height', 1.0).",
        ),
    ],
)
def test_bad_conditions_are_refused(given, message):
    with pytest.raises(InvalidParameterError) as caught:
        targets.three_in_the_plane().condition(given)
    assert str(caught.value) == message


def test_a_condition_that_nothing_reaches_is_refused():
    mixture = GaussianMixture([1.0], [[0.0, 0.0]], [1e-20 * np.eye(2)])
    with pytest.raises(InvalidParameterError) as caught:
        mixture.condition({"x0": 1e149})
    assert str(caught.value) == (
        "condition needs values that some component can reach, got {'x0': 1e+149}."
    )


@pytest.mark.parametrize(
    ("n", "shown"),
    [(0, "0"), (-3, "-3"), (2.0, "2.0"), (True, "True"), ("5", "'5'"), (None, "None")],
)
def test_bad_numbers_of_draws_are_refused(n, shown):
    with pytest.raises(InvalidParameterError) as caught:
        targets.two_on_a_line().sample(n)
    assert str(caught.value) == f"n must be a positive integer, got {shown}."


def test_check_count_returns_an_integer():
    assert type(check_count("draws", np.int32(4))) is int


def test_rows_are_checked(optional):
    mixture = targets.three_in_the_plane()
    for method in (mixture.log_density, mixture.responsibilities, mixture.predict, mixture.score):
        with pytest.raises(InvalidDataError, match=r"^X has 1 columns, but the mixture has 2 feat"):
            method([[1.0]])
        with pytest.raises(InvalidDataError, match=r"got NaN in row 0 \(the first is 0\), column 'x1'\."):
            method([[1.0, np.nan]])
    pandas = optional("pandas")
    table = pandas.DataFrame({"height": [1.0], "weight": [2.0]})
    assert mixture.log_density(table)[0] == mixture.log_density([[1.0, 2.0]])[0]
    with pytest.raises(InvalidDataError, match=r"^X has the columns 'weight', 'height', but the"):
        mixture.log_density(table[["weight", "height"]])
