"""Small, well-known data sets for examples and tests; `SOURCES.md` beside this file says whence."""

import csv
import importlib.resources
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset", "load_faithful", "load_galaxies", "load_penguins"]

_PENGUIN_FEATURES = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
_PENGUIN_TARGETS = ("species", "island", "sex")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Dataset:
    """Rows of numbers with the names of their columns; NumPy functions take it as an array.

    The names are those of scikit-learn's `Bunch`. The arrays are read-only.

    Attributes
    ----------
    data : ndarray, shape (N, D)
        Observations in rows, float64.
    feature_names : tuple of str, length D
        One name per column of `data`.
    target : ndarray of int, shape (N,), or None
        Known group of each row as an index into `target_names`; -1 where it was not recorded.
    target_names : tuple of str
        Names of the groups, sorted; empty without a target.
    description : str
        What was measured, in which units.
    """

    data: NDArray[np.float64]
    feature_names: tuple[str, ...]
    target: NDArray[np.intp] | None = None
    target_names: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = value.copy()
                value.setflags(write=False)
                object.__setattr__(self, field.name, value)
        if self.data.ndim != 2 or self.data.shape[1] != len(self.feature_names):
            raise ValueError(
                "data must have one column per feature name, "
                f"got shape {self.data.shape} and {len(self.feature_names)} names."
            )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy:
            return np.array(self.data, dtype=dtype)
        converted = np.asarray(self.data, dtype=dtype)
        if copy is False and converted is not self.data:
            raise ValueError(f"data are float64: dtype {dtype!r} needs a copy.")
        return converted

    def __repr__(self) -> str:
        return f"Dataset(shape={self.data.shape}, feature_names={self.feature_names})"


def load_faithful() -> Dataset:
    """Return eruptions of the Old Faithful geyser: 272 rows, 2 features, both in minutes.

    Returns
    -------
    Dataset
        `eruptions`: how long the eruption lasted, in minutes. `waiting`: the time to the next
        eruption, in minutes. No target.

    References
    ----------
    Härdle, W. (1991). Smoothing Techniques with Implementation in S. Springer. As in R's
    `datasets::faithful`.

    Examples
    --------
    >>> load_faithful()
    Dataset(shape=(272, 2), feature_names=('eruptions', 'waiting'))
    """
    names = ("eruptions", "waiting")
    return Dataset(
        data=_numbers(_read("faithful.csv"), names),
        feature_names=names,
        description="Old Faithful: length of an eruption and time to the next one, in minutes.",
    )


def load_galaxies() -> Dataset:
    """Return the velocities of 82 galaxies: 82 rows, 1 feature, in 1000 km/s.

    The copy is the one that nearly all published results use, R's `MASS::galaxies`. Its 78th
    value, 26.690, is a slip for the 26.960 of Postman et al.; it is kept so that results compare.

    Returns
    -------
    Dataset
        `velocity`: in units of 1000 km/s, increasing. No target.

    References
    ----------
    Postman, M., Huchra, J. P. and Geller, M. J. (1986). Probes of large-scale structures in the
    Corona Borealis region. Astronomical Journal 92, 1238-1247.

    Roeder, K. (1990). Density estimation with confidence sets exemplified by superclusters and
    voids in the galaxies. Journal of the American Statistical Association 85, 617-624.

    Examples
    --------
    >>> float(load_galaxies().data[77, 0])
    26.69
    """
    return Dataset(
        data=_numbers(_read("galaxies.csv"), ("velocity_km_s",)) / 1000.0,
        feature_names=("velocity",),
        description="Velocities of 82 galaxies in the Corona Borealis region, in 1000 km/s.",
    )


def load_penguins(*, target: str = "species", drop_missing: bool = True) -> Dataset:
    """Return body measurements of the Palmer penguins: 342 rows, 4 features.

    Parameters
    ----------
    target : {"species", "island", "sex"}, default "species"
        Which known grouping becomes `Dataset.target`. The sex of 9 of the 342 birds was not
        recorded: -1.
    drop_missing : bool, default True
        Leave out the 2 of 344 birds without measurements. With False their rows are NaN.

    Returns
    -------
    Dataset
        `bill_length_mm`, `bill_depth_mm`, `flipper_length_mm` in millimetres, `body_mass_g` in
        grams.

    Raises
    ------
    ValueError
        If `target` is none of the three.

    References
    ----------
    Gorman, K. B., Williams, T. D. and Fraser, W. R. (2014). Ecological sexual dimorphism and
    environmental variability within a community of Antarctic penguins (genus Pygoscelis).
    PLoS ONE 9(3), e90081.

    Examples
    --------
    >>> load_penguins().target_names
    ('Adelie', 'Chinstrap', 'Gentoo')
    """
    if target not in _PENGUIN_TARGETS:
        raise ValueError(f"target must be one of {', '.join(_PENGUIN_TARGETS)}, got {target!r}.")
    rows = _read("penguins.csv")
    if drop_missing:
        rows = [row for row in rows if all(row[name] for name in _PENGUIN_FEATURES)]
    names = tuple(sorted({row[target] for row in rows} - {""}))
    code = {name: index for index, name in enumerate(names)}
    return Dataset(
        data=_numbers(rows, _PENGUIN_FEATURES),
        feature_names=_PENGUIN_FEATURES,
        target=np.array([code.get(row[target], -1) for row in rows], dtype=np.intp),
        target_names=names,
        description=f"Palmer penguins: sizes in mm, body mass in g; the target is the {target}.",
    )


def _read(file_name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file of this folder, header as keys."""
    source = importlib.resources.files(__name__).joinpath(file_name)
    with source.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _numbers(rows: list[dict[str, str]], columns: tuple[str, ...]) -> NDArray[np.float64]:
    """Return `columns` of `rows` as float64, shape (N, D); an empty cell is NaN."""
    return np.array([[float(row[column] or "nan") for column in columns] for row in rows])
