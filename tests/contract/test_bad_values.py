"""Priors, mixtures and files that are no good meet one clear line. Messages are literals."""

import json

import numpy as np
import pytest

import diffgmm
from diffgmm.errors import DiffgmmError, InvalidDataError, InvalidFileError, InvalidParameterError

ROWS = np.random.default_rng(3).normal(size=(30, 2))


def prior(**numbers):
    return diffgmm.Prior(
        **{"m0": [0.0, 0.0], "B0": np.eye(2), "c0": 2.0, "C0": np.eye(2), **numbers}
    )


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
        diffgmm.Prior.weakly_informative(ROWS * [1.0, 0.0] + [0.0, 3.0])
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
        "X must not have missing values, got NaN in row 0 (the first is 0), column 'x0'. "
        "Drop such rows (pandas: X.dropna()) or fill them in; missing values are not supported yet.",
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
