"""The one door to ArviZ: InferenceData for ArviZ 0.x, the same groups as a DataTree for 1.x.

Nothing of ArviZ is imported until an InferenceData must be built or diagnostics are asked for; a
DataTree needs xarray only.
"""

import datetime
import importlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..errors import InvalidFileError, InvalidParameterError
from ..files import write_whole

LIBRARY = "diffgmm"
SAMPLE_DIMS = ("chain", "draw")

# The variable of constant_data with the weights of rows.
SAMPLE_WEIGHT = "sample_weight"

# PSIS fits a law to the largest fifth of the weights, which must be five: ArviZ 1.x refuses fewer.
FEWEST_DRAWS = 25

# Names that a variable cannot have because dimensions have them.
DIMENSIONS = (
    *SAMPLE_DIMS,
    *("cluster", "feature", "feature_bis", "obs_id", "anchor", "level"),
)


@dataclass(frozen=True, eq=False)
class Group:
    """One group: variables (dimensions, array), and attributes beside the ones every group has.

    dims may start with chain and draw; `draw` gives the draws' numbers when some were left out.
    """

    variables: Mapping[str, tuple[tuple[str, ...], np.ndarray]]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    draw: np.ndarray | None = None


def arviz_generation() -> int:
    """Return 0 for ArviZ 0.x, 1 for later ones or none, without importing it."""
    try:
        return min(int(version("arviz").split(".")[0]), 1)
    except PackageNotFoundError:
        return 1


def build(groups: Mapping[str, Group], coords: Mapping[str, Any], attrs: Mapping[str, Any]) -> Any:
    """Return the groups as the installed ArviZ knows them.

    Parameters
    ----------
    groups : dict of Group
        By their names in the ArviZ schema.
    coords : dict
        Labels of every dimension but chain and draw.
    attrs : dict
        Of the root; text, numbers and lists of them.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
    """
    datasets = {name: _dataset(group, coords) for name, group in groups.items()}
    root = {**_common_attrs(), **attrs}
    if arviz_generation() == 0:
        import arviz

        return arviz.InferenceData(attrs=root, **datasets)
    import xarray

    tree = xarray.DataTree.from_dict({f"/{name}": data for name, data in datasets.items()})
    tree.attrs.update(root)
    return tree


def _common_attrs() -> dict[str, Any]:
    return {
        "created_at": datetime.datetime.now(datetime.UTC).isoformat(),
        "creation_library": LIBRARY,
        "creation_library_version": __version__,
        "creation_library_language": "Python",
        "inference_library": LIBRARY,
        "inference_library_version": __version__,
    }


def seed_attrs(sequence: np.random.SeedSequence) -> dict[str, str]:
    """Return what repeats a run; as text, for entropy has 128 bits and files have integers of 64."""
    entropy: Any = sequence.entropy
    entropy = [int(part) for part in entropy] if isinstance(entropy, Sequence) else int(entropy)
    return {
        "random_seed": json.dumps(entropy),
        "random_seed_key": json.dumps(list(sequence.spawn_key)),
    }


def _dataset(group: Group, coords: Mapping[str, Any]) -> Any:
    import xarray

    used: dict[str, Any] = {}
    for dims, array in group.variables.values():
        for dim, size in zip(dims, array.shape, strict=True):
            if dim == "draw" and group.draw is not None:
                used[dim] = group.draw
            else:
                used[dim] = coords.get(dim, np.arange(size))
    attrs = {**_common_attrs(), **group.attrs}
    if arviz_generation() == 1 and "draw" in used:
        attrs["sample_dims"] = list(SAMPLE_DIMS)
    return xarray.Dataset(dict(group.variables), coords=used, attrs=attrs)


def add_group(idata: Any, name: str, group: Group, coords: Mapping[str, Any]) -> None:
    """Put a group into InferenceData or a DataTree, in the place of one of that name."""
    data = _dataset(group, coords)
    if hasattr(idata, "children"):
        import xarray

        idata[name] = xarray.DataTree(data)
        return
    if name in idata.groups():
        delattr(idata, name)
    idata.add_groups({name: data}, warn_on_custom_groups=False)


def as_tree(idata: Any) -> Any:
    """Return InferenceData or a DataTree as a DataTree."""
    return idata.to_datatree() if hasattr(idata, "to_datatree") else idata


def from_tree(tree: Any) -> Any:
    """Return a DataTree as what the installed ArviZ works with."""
    if arviz_generation() == 1:
        return tree
    import arviz

    return arviz.InferenceData.from_datatree(tree)


def arviz_statistics() -> Any:
    """Return what has ArviZ's statistics: of 1.x these alone, the whole would bring the plots."""
    return importlib.import_module("arviz" if arviz_generation() == 0 else "arviz_stats")


def rhat_and_ess(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return rank-normalised split R-hat and bulk ESS of arrays (chain, draw, ...), by ArviZ.

    A single chain has no R-hat: NaN.
    """
    if arviz_generation() == 0:
        import arviz

        data, compiles = arviz.convert_to_dataset(dict(arrays)), arviz.Numba.numba_flag
        # A variance that ArviZ would compile first, for longer than most posteriors take.
        arviz.Numba.disable_numba()
        try:
            # Of a single chain ArviZ 0.x says so in its log.
            rhat = arviz.rhat(data) if data.sizes["chain"] > 1 else data.mean(SAMPLE_DIMS) * np.nan
            ess = arviz.ess(data)
        finally:
            if compiles:
                arviz.Numba.enable_numba()
        return {name: (rhat[name].values, ess[name].values) for name in arrays}
    from arviz_stats.base import array_stats

    axes = {"chain_axis": 0, "draw_axis": 1}
    return {
        name: (array_stats.rhat(array, **axes), array_stats.ess(array, **axes))
        for name, array in arrays.items()
    }


@dataclass(frozen=True)
class LeaveOneOut:
    """Expected log density of new rows, by PSIS-LOO.

    elpd, se : in nats.   n_rows : how many rows there are.
    n_bad : rows whose Pareto k is above `good_k`, so that their share of elpd is not reliable.
    """

    elpd: float
    se: float
    n_rows: int
    n_bad: int
    good_k: float


def leave_one_out(idata: Any) -> LeaveOneOut | None:
    """Return the expected log density of new rows from a `log_likelihood` group, by ArviZ.

    None of fewer draws than `FEWEST_DRAWS`.
    """
    sizes = as_tree(idata)["log_likelihood"].sizes
    if sizes["chain"] * sizes["draw"] < FEWEST_DRAWS:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pareto k, which `n_bad` says, and of overflow
        # ArviZ 0.x takes no DataTree.
        result = arviz_statistics().loo(from_tree(as_tree(idata)), pointwise=True)
    elpd = result.elpd_loo if arviz_generation() == 0 else result.elpd
    pareto_k, good_k = np.asarray(result.pareto_k), float(result.good_k)
    n_bad = int((pareto_k > good_k).sum())
    return LeaveOneOut(float(elpd), float(result.se), pareto_k.size, n_bad, good_k)


def psis_log_weights(log_lik: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return smoothed log weights (S, N) that leave each row out, and Pareto k (N,), by ArviZ.

    log_lik : ndarray, shape (S, N)
    """
    by_row = np.ascontiguousarray(log_lik.T)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pareto k, which is returned, and of overflow
        if arviz_generation() == 0:
            import arviz

            log_weights, pareto_k = arviz.psislw(-by_row)
        else:
            from arviz_stats.base import array_stats

            log_weights, pareto_k = array_stats.psislw(by_row)  # turns the sign itself
    return np.asarray(log_weights).T, np.atleast_1d(pareto_k)


def save_inference_data(idata: Any, path: str | Path) -> None:
    """Write InferenceData or a DataTree to a file, whole or not at all.

    Parameters
    ----------
    idata : arviz.InferenceData or xarray.DataTree
    path : str or Path
        A name ending in .zarr makes a Zarr folder (zarr must be installed); anything else netCDF.

    Raises
    ------
    InvalidFileError
        When the folder does not exist or cannot be written to, or zarr is not installed.
    InvalidParameterError
        When `idata` is neither.
    """
    path, tree = Path(path), as_tree(idata)
    if not hasattr(tree, "children"):
        raise InvalidParameterError(
            f"save_inference_data needs InferenceData or a DataTree, got {type(idata).__name__}."
        )
    if path.suffix == ".zarr":
        _require_zarr(path)
        _write_folder(path, lambda folder: _to_zarr(tree, folder))
    else:
        write_whole(path, lambda temporary: tree.to_netcdf(temporary, engine="h5netcdf"))


def load_inference_data(path: str | Path) -> Any:
    """Return what `save_inference_data` wrote, as the installed ArviZ knows it.

    Parameters
    ----------
    path : str or Path
        netCDF or, with a name ending in .zarr, a Zarr folder; of either generation of ArviZ.

    Returns
    -------
    arviz.InferenceData (ArviZ 0.x) or xarray.DataTree (ArviZ 1.x)

    Raises
    ------
    InvalidFileError
        When there is no such file or it holds no groups.
    """
    import xarray

    path = Path(path)
    if path.suffix == ".zarr":
        _require_zarr(path)
    if not path.exists():
        raise InvalidFileError(f"Cannot read {str(path)!r}: No such file or directory.")
    engine = "zarr" if path.suffix == ".zarr" else "h5netcdf"
    try:
        with xarray.open_datatree(path, engine=engine) as tree:
            loaded = tree.load()
    except (OSError, ValueError, KeyError) as error:
        raise InvalidFileError(
            f"Cannot read {str(path)!r} as {'Zarr' if engine == 'zarr' else 'netCDF'}: {error}"
        ) from None
    if not loaded.children:
        raise InvalidFileError(f"Cannot read {str(path)!r}: it holds no groups.")
    return from_tree(loaded)


def _to_zarr(tree: Any, folder: Path) -> None:
    with warnings.catch_warnings():
        # Zarr's warnings are about its format of text (names of features), not about these data.
        warnings.filterwarnings("ignore", module=r"zarr\.")
        tree.to_zarr(folder, mode="w")


def _require_zarr(path: Path) -> None:
    try:
        version("zarr")
    except PackageNotFoundError:
        raise InvalidFileError(
            f"{str(path)!r} needs the package zarr: pip install 'diffgmm[zarr]', "
            "or use a name ending in .nc."
        ) from None


def _write_folder(path: Path, write: Any) -> None:
    """Let `write` fill a folder beside `path`, then put it in the place of what was there."""
    if not path.parent.is_dir():
        raise InvalidFileError(f"Cannot write {str(path)!r}: the folder does not exist.")
    if path.exists() and not (path.is_dir() and _looks_like_zarr(path)):
        raise InvalidFileError(
            f"Cannot write {str(path)!r}: something else than a Zarr folder is there."
        )
    try:
        workplace = Path(tempfile.mkdtemp(dir=path.parent, prefix="."))
    except OSError as error:
        raise InvalidFileError(f"Cannot write {str(path)!r}: {error.strerror}.") from None
    try:
        write(workplace / "new")
        if path.exists():
            path.rename(workplace / "old")
        (workplace / "new").rename(path)
    except OSError as error:
        raise InvalidFileError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _looks_like_zarr(path: Path) -> bool:
    known = any((path / name).exists() for name in ("zarr.json", ".zgroup"))
    return known or not any(path.iterdir())
