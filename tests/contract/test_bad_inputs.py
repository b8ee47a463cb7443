"""Bad input meets one clear line: the rule, what was given, the remedy. Messages are literals."""

import json

import numpy as np
import pytest

import diffgmm
from diffgmm.errors import DiffgmmError, InvalidDataError, InvalidFileError, InvalidParameterError

ROWS = np.random.default_rng(3).normal(size=(30, 2)) + np.repeat([[0.0], [5.0]], 15, axis=0)
SEED_RULE = (
    "random_seed must be a non-negative integer, a sequence of them, a numpy Generator or None, got "
)
ONE_D = (
    "X must have two dimensions, got shape (30,). "
    "Use X.reshape(-1, 1) for one feature or X.reshape(1, -1) for one row."
)
NAN = (
    "X must not have missing values, got NaN in row 7, column 'x1'. "
    "Drop or impute such rows; missing values are not supported yet."
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
        "X must be finite and below 1e150 in size, got -inf in row 7, column 'x1'.",
    ),
    "huge": (
        changed(1e200),
        "X must be finite and below 1e150 in size, got 1e+200 in row 7, column 'x1'.",
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
    "weights for scores": (
        ROWS,
        {"sample_weight": np.ones(30), "model": "diffusion"},
        "sample_weight is not supported with model='diffusion' yet. Use model='mixture'.",
    ),
}


@pytest.mark.parametrize("case", BAD_FITS)
def test_fit(case):
    rows, arguments, message = BAD_FITS[case]
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.fit(rows, **{"n_components": 2, **arguments})
    assert str(info.value) == message


def prior(**numbers):
    return diffgmm.Prior(**{"m0": [0.0, 0.0], "B0": np.eye(2), "c0": 2.0, "C0": np.eye(2), **numbers})


BAD_SAMPLES = {
    "draws negative": ({"draws": -5}, "draws must be a positive integer, got -5."),
    "draws = 0": ({"draws": 0}, "draws must be a positive integer, got 0."),
    "draws a float": ({"draws": 1e3}, "draws must be a positive integer, got 1000.0."),
    "tune negative": ({"tune": -1}, "tune must be a non-negative integer, got -1."),
    "chains = 0": ({"chains": 0}, "chains must be a positive integer, got 0."),
    "method": ({"method": "nuts"}, "method must be 'gibbs' or None so far, got 'nuts'."),
    "K unknown": (
        {"n_components": None},
        "n_components must be given: sampling it is not supported yet.",
    ),
    "weights": (
        {"sample_weight": np.ones(30)},
        "sample_weight is not supported by sample yet. Leave it out, or use fit.",
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


BAD_PRIORS = {
    "m0 a number": ({"m0": 0.0}, "m0 must have shape (D,), got ()."),
    "m0 NaN": ({"m0": [0.0, np.nan]}, "m0 must be finite, got NaN or infinity."),
    "B0 of wrong shape": (
        {"B0": [1.0, 1.0]},
        "B0 must have shape (2, 2) as m0 has 2 entries, got (2,).",
    ),
    "B0 not positive definite": (
        {"B0": [[1.0, 2.0], [2.0, 1.0]]},
        "B0 must be positive definite, got the eigenvalue -1.",
    ),
    "B0 not symmetric": ({"B0": [[1.0, 0.5], [0.0, 1.0]]}, "B0 must be symmetric."),
    "C0 of wrong shape": (
        {"C0": np.eye(3)},
        "C0 must have shape (2, 2) as m0 has 2 entries, got (3, 3).",
    ),
    "c0 too small": (
        {"c0": 0.5},
        "c0 must be a number above (D - 1) / 2 = 0.5, got 0.5.",
    ),
    "concentration zero": (
        {"concentration": [1.0, 0.0]},
        "concentration must be a positive number or one for each component, got [1.0, 0.0].",
    ),
    "concentration of another K": (
        {"concentration": [1.0, 1.0], "n_components": 3},
        "concentration must be a number or have n_components=3 entries, got 2.",
    ),
    "both C0 and its prior": (
        {"g0": 2.0, "G0": np.eye(2)},
        'covariance_type="full" needs c0 and either C0 (fixed) or both g0 and G0 '
        "(C0 is then drawn).",
    ),
}


@pytest.mark.parametrize("case", BAD_PRIORS)
def test_prior(case):
    arguments, message = BAD_PRIORS[case]
    with pytest.raises(InvalidParameterError) as info:
        prior(**arguments)
    assert str(info.value) == message


def test_prior_for_rows_that_do_not_vary():
    with pytest.raises(InvalidDataError) as info:
        diffgmm.Prior.weakly_informative(constant())
    assert str(info.value) == (
        "Every column must vary, but column 'x1' is 3 in all 30 rows. Remove it."
    )


def mixture(**parts):
    return diffgmm.GaussianMixture(
        parts.pop("weights", [0.5, 0.5]),
        parts.pop("means", [[0.0, 0.0], [1.0, 1.0]]),
        parts.pop("covariances", [np.eye(2), np.eye(2)]),
        **parts,
    )


BAD_MIXTURES = {
    "weights above 1": (
        {"weights": [0.5, 0.6]},
        "weights must not be negative and must sum to 1, got [0.5, 0.6].",
    ),
    "a negative weight": (
        {"weights": [1.5, -0.5]},
        "weights must not be negative and must sum to 1, got [1.5, -0.5].",
    ),
    "three weights": (
        {"weights": [0.5, 0.25, 0.25]},
        "weights and means must have shapes (K,) and (K, D), got (3,) and (2, 2).",
    ),
    "means ragged": (
        {"means": [[0.0, 0.0], [1.0]]},
        "means must be an array of numbers, got [[0.0, 0.0], [1.0]].",
    ),
    "means NaN": (
        {"means": [[0.0, 0.0], [np.nan, 1.0]]},
        "means must be finite, got NaN or infinity.",
    ),
    "one covariance": (
        {"covariances": np.eye(2)},
        "covariances must have shape (2, 2, 2), got (2, 2).",
    ),
    "not positive definite": (
        {"covariances": [np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]},
        "covariances must be positive definite, but component 1 has the eigenvalue -1.",
    ),
    "not symmetric": (
        {"covariances": [np.eye(2), [[1.0, 0.5], [0.0, 1.0]]]},
        "covariances must be symmetric.",
    ),
    "one name": (
        {"feature_names": ["eruptions"]},
        "feature_names must name 2 features, got 1.",
    ),
    "names alike": (
        {"feature_names": ["a", "a"]},
        "feature_names must be distinct, got ['a', 'a'].",
    ),
}


@pytest.mark.parametrize("case", BAD_MIXTURES)
def test_mixture(case):
    parts, message = BAD_MIXTURES[case]
    with pytest.raises(InvalidParameterError) as info:
        mixture(**parts)
    assert str(info.value) == message


BAD_QUESTIONS = {
    "too many columns": (
        lambda m: m.log_density(np.ones((3, 3))),
        "X has 3 columns, but the mixture has 2 features: 'a', 'b'. "
        "Give these columns in this order.",
    ),
    "one row as a vector": (
        lambda m: m.log_density([1.0, 2.0]),
        "X must have two dimensions, got shape (2,). "
        "Use X.reshape(-1, 1) for one feature or X.reshape(1, -1) for one row.",
    ),
    "NaN": (
        lambda m: m.score([[np.nan, 2.0]]),
        "X must not have missing values, got NaN in row 0, column 'x0'. "
        "Drop or impute such rows; missing values are not supported yet.",
    ),
    "sigma negative": (
        lambda m: m.score(ROWS, -1.0),
        "sigma must be a number, not negative and below 1e150, got -1.0.",
    ),
    "sigma NaN": (
        lambda m: m.denoise(ROWS, float("nan")),
        "sigma must be a number, not negative and below 1e150, got nan.",
    ),
    "no draws": (lambda m: m.sample(0), "n must be a positive integer, got 0."),
    "unknown feature": (
        lambda m: m.marginal("c"),
        "features must be among ['a', 'b'] or numbers below 2, got 'c'.",
    ),
    "nothing left": (
        lambda m: m.condition({"a": 1.0, "b": 2.0}),
        "condition must leave at least one feature unknown.",
    ),
}


@pytest.mark.parametrize("case", BAD_QUESTIONS)
def test_questions_to_a_mixture(case):
    ask, message = BAD_QUESTIONS[case]
    with pytest.raises(DiffgmmError) as info:
        ask(mixture(feature_names=["a", "b"]))
    assert str(info.value) == message


def test_columns_in_another_order_are_not_silently_used():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(InvalidDataError) as info:
        mixture(feature_names=["a", "b"]).log_density(pandas.DataFrame(ROWS, columns=["b", "a"]))
    assert str(info.value) == (
        "X has the columns 'b', 'a', but the mixture was made for 'a', 'b'. "
        "Select and order the columns first."
    )


def loaders():
    from diffgmm.report.inference_data import load_inference_data

    return {
        "GaussianMixture": diffgmm.GaussianMixture.load,
        "MixtureFit": diffgmm.MixtureFit.load,
        "inference data": load_inference_data,
    }


@pytest.mark.parametrize("kind", ["GaussianMixture", "MixtureFit", "inference data"])
def test_loading_a_missing_file(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidFileError) as info:
        loaders()[kind]("nowhere.json")
    assert str(info.value) == "Cannot read 'nowhere.json': No such file or directory."


@pytest.mark.parametrize("kind", ["GaussianMixture", "MixtureFit"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not JSON {", "Cannot read 'file.json': it is not JSON."),
        ("[1, 2]", "Expected a dictionary of format 'diffgmm.{kind}'."),
        ('{"format": "other", "version": 1}', "Expected a dictionary of format 'diffgmm.{kind}'."),
        (
            '{"format": "diffgmm.{kind}", "version": 99}',
            "Expected version 1 of 'diffgmm.{kind}', got 99.",
        ),
    ],
    ids=["not JSON", "a list", "another format", "a later version"],
)
def test_loading_something_else(kind, content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.json").write_text(content.replace("{kind}", kind))
    with pytest.raises(InvalidFileError) as info:
        loaders()[kind]("file.json")
    assert str(info.value) == message.replace("{kind}", kind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("K = 3", "A prior must be JSON that Prior.to_json wrote."),
        ("{}", "Expected a dictionary of format 'diffgmm.Prior'."),
        (
            '{"format": "diffgmm.Prior", "version": 2}',
            "Expected version 1 of 'diffgmm.Prior', got 2.",
        ),
    ],
    ids=["not JSON", "another format", "a later version"],
)
def test_reading_something_else_as_a_prior(text, message):
    with pytest.raises(InvalidFileError) as info:
        diffgmm.Prior.from_json(text)
    assert str(info.value) == message


def test_reading_a_prior_that_lacks_parts():
    state = json.loads(prior().to_json())
    del state["m0"], state["c0"]
    with pytest.raises(InvalidFileError) as info:
        diffgmm.Prior.from_json(json.dumps(state))
    assert str(info.value) == "The dictionary of format 'diffgmm.Prior' lacks ['m0', 'c0']."


def test_loading_a_mixture_that_lacks_parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = mixture().to_dict()
    del state["means"]
    (tmp_path / "file.json").write_text(json.dumps(state))
    with pytest.raises(InvalidFileError) as info:
        diffgmm.GaussianMixture.load("file.json")
    assert str(info.value) == (
        "The dictionary of format 'diffgmm.GaussianMixture' lacks ['means']."
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere/file.json", "Cannot write 'nowhere/file.json': the folder does not exist."),
        ("folder", "Cannot write 'folder': it is a folder."),
    ],
    ids=["no folder", "a folder"],
)
def test_saving_where_one_cannot(path, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidFileError) as info:
        mixture().save(path)
    assert str(info.value) == message


def test_every_error_of_ours_is_also_a_built_in_one():
    for error in (InvalidDataError, InvalidParameterError, InvalidFileError):
        assert issubclass(error, DiffgmmError)
        assert issubclass(error, ValueError)
