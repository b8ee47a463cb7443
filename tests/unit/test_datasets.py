"""The numbers of the data sets, against literals that were taken from their sources."""

import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from diffgmm.datasets import Dataset, load_faithful, load_galaxies, load_penguins

LOADERS = [load_faithful, load_galaxies, load_penguins]


def checksum(data: np.ndarray) -> float:
    """Return a sum that changes when rows or columns trade places."""
    rows, columns = data.shape
    return float(np.arange(1, rows + 1) @ data @ np.arange(1, columns + 1))


def test_faithful_is_rs_faithful():
    faithful = load_faithful()
    assert faithful.data.shape == (272, 2)
    assert faithful.feature_names == ("eruptions", "waiting")
    assert faithful.target is None
    assert faithful.target_names == ()
    np.testing.assert_array_equal(faithful.data[[0, 271]], [[3.6, 79.0], [4.467, 74.0]])
    # R: colSums(faithful) is 948.677 and 19284
    np.testing.assert_allclose(faithful.data.sum(axis=0), [948.677, 19284.0], rtol=1e-13)
    assert checksum(faithful.data) == pytest.approx(5399593.276, rel=1e-13)


def test_galaxies_are_those_of_mass_in_1000_km_per_second():
    galaxies = load_galaxies()
    assert galaxies.data.shape == (82, 1)
    assert galaxies.feature_names == ("velocity",)
    velocity = galaxies.data[:, 0]
    assert (velocity[0], velocity[81]) == (9.172, 34.279)
    assert velocity[77] == 26.690  # not the 26.960 of Postman et al.: see SOURCES.md
    assert np.all(np.diff(velocity) > 0)
    assert velocity.sum() == pytest.approx(1707.91, rel=1e-13)
    assert checksum(galaxies.data) == pytest.approx(78519.058, rel=1e-13)


def test_penguins_are_the_palmer_penguins():
    penguins = load_penguins()
    assert penguins.data.shape == (342, 4)
    assert penguins.feature_names == (
        "bill_length_mm",
        "bill_depth_mm",
        "flipper_length_mm",
        "body_mass_g",
    )
    np.testing.assert_array_equal(penguins.data[3], [36.7, 19.3, 193.0, 3450.0])
    np.testing.assert_allclose(
        penguins.data.sum(axis=0), [15021.3, 5865.7, 68713.0, 1437000.0], rtol=1e-13
    )
    assert checksum(penguins.data) == pytest.approx(1056468875.0, rel=1e-13)


@pytest.mark.parametrize(
    ("target", "names", "counts"),
    [
        ("species", ("Adelie", "Chinstrap", "Gentoo"), [151, 68, 123]),
        ("island", ("Biscoe", "Dream", "Torgersen"), [167, 124, 51]),
        ("sex", ("female", "male"), [165, 168]),
    ],
)
def test_each_grouping_of_the_penguins(target, names, counts):
    penguins = load_penguins(target=target)
    assert penguins.target_names == names
    known = penguins.target[penguins.target >= 0]
    assert np.bincount(known).tolist() == counts
    assert known.size == (333 if target == "sex" else 342)
    assert penguins.target.min() == (-1 if target == "sex" else 0)


def test_penguins_without_measurements_can_be_kept():
    penguins = load_penguins(drop_missing=False)
    assert penguins.data.shape == (344, 4)
    missing = np.isnan(penguins.data)
    assert np.flatnonzero(missing.any(axis=1)).tolist() == [3, 271]
    assert missing[[3, 271]].all()
    assert penguins.target[[3, 271]].tolist() == [0, 2]


def test_unknown_grouping_is_refused():
    message = r"target must be one of species, island, sex, got 'year'\."
    with pytest.raises(ValueError, match=message):
        load_penguins(target="year")


@pytest.mark.parametrize("load", LOADERS)
def test_a_dataset_is_an_array_to_numpy(load):
    dataset = load()
    assert np.isfinite(dataset.data).all()
    assert dataset.data.dtype == np.float64
    assert dataset.data.flags.c_contiguous
    assert np.asarray(dataset) is dataset.data
    assert np.asarray(dataset, dtype=np.float32).dtype == np.float32
    copied = np.array(dataset)
    np.testing.assert_array_equal(copied, dataset.data)
    copied[0, 0] = -1.0
    assert dataset.data[0, 0] != -1.0
    assert dataset.description


def test_a_conversion_without_copy_is_refused():
    with pytest.raises(ValueError, match="float64"):
        load_faithful().__array__(np.float32, copy=False)
    assert load_faithful().__array__(np.float64, copy=False).shape == (272, 2)


def test_a_dataset_cannot_be_changed():
    faithful = load_faithful()
    with pytest.raises(ValueError, match="read-only"):
        faithful.data[0, 0] = 0.0
    with pytest.raises(FrozenInstanceError):
        faithful.feature_names = ("a", "b")


def test_a_dataset_copies_what_it_is_given():
    data = np.zeros((3, 1))
    dataset = Dataset(data=data, feature_names=("x",))
    data[0] = 1.0
    assert dataset.data.sum() == 0.0


def test_names_and_columns_must_agree():
    message = r"one column per feature name, got shape \(3, 2\) and 1 names\."
    with pytest.raises(ValueError, match=message):
        Dataset(data=np.zeros((3, 2)), feature_names=("x",))


def test_repr_is_short():
    assert repr(load_galaxies()) == "Dataset(shape=(82, 1), feature_names=('velocity',))"


def test_loading_needs_no_pandas():
    code = "import sys, diffgmm.datasets as d; d.load_penguins(); print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
