"""Bad input meets one clear line: the rule, what was given, the remedy. Messages are literals."""

import numpy as np
import pytest

import diffgmm
from diffgmm.errors import DiffgmmError, InvalidDataError, InvalidFileError, InvalidParameterError

ROWS = np.random.default_rng(3).normal(size=(30, 2)) + np.repeat([[0.0], [5.0]], 15, axis=0)
SEED_RULE = (
    "random_seed must be a non-negative integer, a sequence of them, a numpy Generator or None, "
    "got "
)
ONE_D = (
    "X must have two dimensions, got shape (30,). "
    "Use X.reshape(-1, 1) for one feature or X.reshape(1, -1) for one row."
)
NAN = (
    "X must not have missing values, got NaN in row 7 (the first is 0), column 'x1'. "
    "Drop such rows (pandas: X.dropna()) or fill them in; missing values are not supported yet."
)
SPARSE = "X must be dense, got a sparse matrix. Use X.toarray() if it fits."


def changed(value, row=7, column=1):
    rows = ROWS.copy()
    rows[row, column] = value
    return rows


def constant():
    rows = ROWS.copy()
    rows[:, 1] = 3.0
    return rows


class Sparse:
    """What SciPy's sparse matrices have and tables have not."""

    shape = (30, 2)

    def tocsr(self):
        return self


# What `fit` and `sample` refuse alike: X, the error's class, its message.
BAD_ROWS = {
    "empty": (np.empty((0, 2)), "X must have at least one row and one column, got shape (0, 2)."),
    "no columns": (
        np.empty((30, 0)),
        "X must have at least one row and one column, got shape (30, 0).",
    ),
    "one-dimensional": (ROWS[:, 0], ONE_D),
    "three-dimensional": (
        ROWS[None],
        "X must have two dimensions, got shape (1, 30, 2). Give rows x features.",
    ),
    "a number": (5.0, "X must have two dimensions, got shape (). Give rows x features."),
    "None": (None, "X must have two dimensions, got shape (). Give rows x features."),
    "text": (ROWS.astype(str), "X must be numeric, got an array of type <U32."),
    "dates": (
        np.zeros((30, 2), "M8[s]"),
        "X must be numeric, got an array of type datetime64[s].",
    ),
    "complex": (
        ROWS + 1j,
        "X must be real, got complex numbers. Use X.real and X.imag as columns.",
    ),
    "infinite": (
        changed(-np.inf),
        "X must be finite and below 1e150 in size, got -inf in row 7 (the first is 0), column 'x1'.",
    ),
    "huge": (
        changed(1e200),
        "X must be finite and below 1e150 in size, got 1e+200 in row 7 (the first is 0), column 'x1'.",
    ),
    "NaN": (changed(np.nan), NAN),
    "masked": (np.ma.masked_equal(changed(99.0), 99.0), NAN),
    "ragged": (
        [[1.0, 2.0], [3.0]],
        "X must be a table of numbers, got rows of different lengths.",
    ),
    "sparse": (Sparse(), SPARSE),
    "constant column": (
        constant(),
        "Every column must vary, but column 'x1' is 3 in all 30 rows. Remove it.",
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
@pytest.mark.parametrize("function", ["fit", "sample"])
def test_rows(function, case):
    rows, message = BAD_ROWS[case]
    with pytest.raises(InvalidDataError) as info:
        getattr(diffgmm, function)(rows, 2, random_seed=1)
    assert str(info.value) == message


def test_names_of_text_columns_and_of_columns_that_are_used_twice():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"size": [1.0, 2.0, 3.0], "species": ["a", "b", "c"]})
    with pytest.raises(InvalidDataError) as info:
        diffgmm.fit(table, 2)
    assert str(info.value) == (
        "Every column must be numeric, but 'species' is not. Select the numeric columns first."
    )
    twice = pandas.DataFrame(ROWS, columns=["size", "size"])
    with pytest.raises(InvalidDataError) as info:
        diffgmm.fit(twice, 2)
    assert str(info.value) == (
        "Column names must be distinct, but 'size' is used 2 times. Rename or remove columns."
    )


FAMILIES = "'full', 'tied', 'diag', 'spherical', 'identity'"

# Arguments that `fit` and `sample` refuse alike.
BAD_ARGUMENTS = {
    "K = 0": ({"n_components": 0}, "n_components must be a positive integer, got 0."),
    "K negative": ({"n_components": -2}, "n_components must be a positive integer, got -2."),
    "K a float": ({"n_components": 2.0}, "n_components must be a positive integer, got 2.0."),
    "K text": ({"n_components": "2"}, "n_components must be a positive integer, got '2'."),
    "K a bool": ({"n_components": True}, "n_components must be a positive integer, got True."),
    "seed negative": ({"random_seed": -1}, f"{SEED_RULE}-1."),
    "seed a float": ({"random_seed": 1.5}, f"{SEED_RULE}1.5."),
    "seed text": ({"random_seed": "one"}, f"{SEED_RULE}'one'."),
    "cores = 0": (
        {"cores": 0},
        "cores must be a positive integer or None (all of them), got 0.",
    ),
    "cores a float": (
        {"cores": 1.0},
        "cores must be a positive integer or None (all of them), got 1.0.",
    ),
    "family": (
        {"covariance_type": "round"},
        f"covariance_type must be one of {FAMILIES}, got 'round'.",
    ),
    "family None": (
        {"covariance_type": None},
        f"covariance_type must be one of {FAMILIES}, got None.",
    ),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
@pytest.mark.parametrize("function", ["fit", "sample"])
def test_arguments(function, case):
    arguments, message = BAD_ARGUMENTS[case]
    with pytest.raises(InvalidParameterError) as info:
        getattr(diffgmm, function)(ROWS, **{"n_components": 2, **arguments})
    assert str(info.value) == message


@pytest.mark.parametrize("function", ["fit", "sample"])
def test_a_legacy_random_state_is_refused(function):
    with pytest.raises(InvalidParameterError) as info:
        getattr(diffgmm, function)(ROWS, 2, random_seed=np.random.RandomState(1))
    assert str(info.value).startswith(f"{SEED_RULE}RandomState(MT19937)")


BAD_FITS = {
    "K > N": (
        ROWS,
        {"n_components": 31},
        "n_components must not exceed the number of rows, got 31 components for 30 rows.",
    ),
    "duplicated rows": (
        np.repeat(ROWS[:2], 15, axis=0),
        {"n_components": 3},
        "n_components must not exceed the number of distinct rows, "
        "got 3 components for 2 distinct rows.",
    ),
    "model": (
        ROWS,
        {"model": "flow"},
        "model must be 'mixture' or 'diffusion', got 'flow'.",
    ),
    "weights of wrong length": (
        ROWS,
        {"sample_weight": np.ones(29)},
        "sample_weight must have one number for each of 30 rows, got shape (29,).",
    ),
    "a negative weight": (
        ROWS,
        {"sample_weight": np.r_[-1.0, np.ones(29)]},
        "sample_weight must be finite, not negative and not all zero.",
    ),
    "a missing weight": (
        ROWS,
        {"sample_weight": np.r_[np.nan, np.ones(29)]},
        "sample_weight must be finite, not negative and not all zero.",
    ),
    "weights all zero": (
        ROWS,
        {"sample_weight": np.zeros(30)},
        "sample_weight must be finite, not negative and not all zero.",
    ),
    "weights text": (
        ROWS,
        {"sample_weight": ["heavy"] * 30},
        "sample_weight must be numbers, one for each row.",
    ),
    "weights for cells": (
        ROWS,
        {"sample_weight": np.ones(30), "model": "diffusion", "gating": "voronoi"},
        "sample_weight is not supported with gating='voronoi' yet. Use gating='soft'.",
    ),
}


@pytest.mark.parametrize("case", BAD_FITS)
def test_fit(case):
    rows, arguments, message = BAD_FITS[case]
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.fit(rows, **{"n_components": 2, **arguments})
    assert str(info.value) == message


def prior(**numbers):
    return diffgmm.Prior(
        **{"m0": [0.0, 0.0], "B0": np.eye(2), "c0": 2.0, "C0": np.eye(2), **numbers}
    )


BAD_SAMPLES = {
    "draws negative": ({"draws": -5}, "draws must be a positive integer, got -5."),
    "draws = 0": ({"draws": 0}, "draws must be a positive integer, got 0."),
    "draws a float": ({"draws": 1e3}, "draws must be a positive integer, got 1000.0."),
    "tune negative": ({"tune": -1}, "tune must be a non-negative integer, got -1."),
    "chains = 0": ({"chains": 0}, "chains must be a positive integer, got 0."),
    "method": (
        {"method": "nuts"},
        "method must be 'gibbs', 'diffusion', 'bootstrap' or None, got 'nuts'.",
    ),
    "K no number": (
        {"n_components": "two"},
        "n_components must be a positive integer, got 'two'.",
    ),
    "weights": (
        {"sample_weight": -np.ones(30)},
        "sample_weight must be finite, not negative and not all zero.",
    ),
    "a dictionary as prior": (
        {"prior": {"m0": [0.0]}},
        "prior must be a diffgmm.Prior or None, got dict.",
    ),
    "prior of another size": (
        {"prior": diffgmm.Prior(m0=[0.0], B0=[[1.0]], c0=2.0, C0=[[1.0]])},
        "The prior is for 1 features, but X has 2 columns.",
    ),
    "prior of another family": (
        {"prior": diffgmm.Prior(m0=[0.0, 0.0], B0=np.eye(2), covariance_type="identity")},
        "The prior is for covariance_type='identity', but covariance_type='full' was asked for.",
    ),
    "prior of another K": (
        {"prior": prior(concentration=[1.0, 1.0, 1.0])},
        "The prior is for n_components=3, but n_components=2 was asked for.",
    ),
}


@pytest.mark.parametrize("case", BAD_SAMPLES)
def test_sample(case):
    arguments, message = BAD_SAMPLES[case]
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.sample(ROWS, **{"n_components": 2, **arguments})
    assert str(info.value) == message


def test_every_error_of_ours_is_also_a_built_in_one():
    for error in (InvalidDataError, InvalidParameterError, InvalidFileError):
        assert issubclass(error, DiffgmmError)
        assert issubclass(error, ValueError)
