"""More draws from where chains ended, and how many are enough."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._seeding import Seed, child_sequence, seed_sequence
from ..covariance import Family
from ..data import Data
from ..errors import InvalidDataError, InvalidFileError, InvalidParameterError
from ..posterior.families import covariance_prior
from ..posterior.priors import Prior
from ..posterior.sample import Settings
from ..posterior.starts import CONTINUED, Start
from .convergence import LABEL_FREE, varying
from .draws import posterior_group, read_mixtures
from .inference_data import SAMPLE_DIMS, as_tree, from_tree, rhat_and_ess
from .relabel import relabel

# Names the streams of continued chains: those of chains are numbered from 0.
STREAM = 2**32 - 3

# Sweeps between the earlier draws and the new ones, for each of these, at most.
WARM_UP_SHARE = 0.5

# Only chains that disagree have moves and jumps: of two runs of the same chains perhaps one.
SPLIT_MERGE = "split_merge_rate"
RATES = (SPLIT_MERGE, "jump_rate")

# Draws of each chain before the effective sample size is looked at; then twice as many, and so on.
FIRST_BATCH = 250


@dataclass(frozen=True, eq=False)
class Earlier:
    """Draws to go on from, checked against what was asked for.

    tree : as a DataTree.   prior, row_weights : theirs.
    starts : the last draw of each chain.   n_draws : of each chain.
    """

    tree: Any
    prior: Prior
    row_weights: np.ndarray | None
    starts: list[Start]
    n_draws: int

    @classmethod
    def of(cls, idata: Any, data: Data, n_components: Any, family: Family) -> "Earlier":
        """Return what `idata` holds of its chains.

        Raises
        ------
        InvalidParameterError, InvalidDataError
            When draws are not those of Gibbs sampling with these arguments and rows.
        """
        tree = as_tree(idata)
        group = posterior_group(tree)
        prior = _prior_of(group)
        k = int(group.attrs["n_components"])
        if n_components not in (None, k) or prior.covariance_type != family.name:
            raise InvalidParameterError(
                f"continue_from has n_components={k} and covariance_type={prior.covariance_type!r}, "
                f"but {n_components} and {family.name!r} were asked for. Ask for the same."
            )
        mixtures = read_mixtures(idata)
        observed = mixtures.observed
        if observed is not None and not np.array_equal(observed, data.values):
            raise InvalidDataError(
                "X must be the rows that continue_from was sampled with, those of its observed_data."
            )
        n_chains, n_draws = (group.sizes[dim] for dim in SAMPLE_DIMS)
        starts = [_last_state(group, chain, prior, k) for chain in range(n_chains)]
        return cls(tree, prior, mixtures.sample_weight, starts, n_draws)

    @property
    def n_components(self) -> int:
        """Number of components K."""
        return len(self.starts[0].weights)

    def check(self, prior: Any, row_weights: np.ndarray | None) -> None:
        """Refuse a prior or weights (N,) of the rows other than those of the earlier draws."""
        same_prior = prior is None or (
            isinstance(prior, Prior) and prior.to_json() == self.prior.to_json()
        )
        same_weights = row_weights is None or (
            self.row_weights is not None and np.array_equal(row_weights, self.row_weights)
        )
        if not (same_prior and same_weights):
            raise InvalidParameterError(
                "continue_from has a prior and a sample_weight of its own. Leave them out, or give "
                "the same."
            )

    def settings(self, settings: Settings) -> Settings:
        """Return the settings of the continuation.

        In its warm-up chains find again what they mixed by, which was not kept; at least one sweep
        leads away from the last draw.
        """
        tune = max(1, min(settings.tune, int(WARM_UP_SHARE * settings.draws)))
        moves = SPLIT_MERGE in self.tree["sample_stats"].data_vars
        return replace(settings, tune=tune, chains=len(self.starts), moves=moves)

    def sequence(self, random_seed: Seed) -> np.random.SeedSequence:
        """Return the seed of the continuation, new for the same `random_seed`."""
        return child_sequence(seed_sequence(random_seed), STREAM, self.n_draws)

    def followed_by(self, idata: Any) -> Any:
        """Return these draws and then those of `idata`, with one numbering of the components."""
        import xarray

        new = as_tree(idata)
        offset = int(self.tree["posterior"]["draw"].values[-1]) + 1
        groups = {}
        for name, node in self.tree.children.items():
            own = node.to_dataset()
            if name == "log_likelihood" and name not in new.children:
                continue  # it would lack the new draws
            if "draw" in own.dims and name in new.children:
                more = new[name].to_dataset()
                more = more.assign_coords(draw=more["draw"] + offset)
                if name == "sample_stats":
                    own, more = _with_same_moves(own, more)
                both = [own[list(more.data_vars)], more]
                own = xarray.concat(both, "draw", combine_attrs="override", join="exact")
                if "thinning" in more.attrs:
                    own.attrs["thinning"] = max(own.attrs["thinning"], more.attrs["thinning"])
            groups[f"/{name}"] = own
        attrs, more = groups["/posterior"].attrs, new["posterior"].attrs
        attrs["sampling_time"] = attrs["sampling_time"] + more["sampling_time"]
        attrs["interrupted"] = more["interrupted"]
        tree = xarray.DataTree.from_dict(groups)
        tree.attrs.update(self.tree.attrs | {k: attrs[k] for k in ("sampling_time", "interrupted")})
        joined = from_tree(tree)
        return relabel(joined) if self.prior.is_exchangeable else joined


def _with_same_moves(own: Any, more: Any) -> tuple[Any, Any]:
    """Return both with the rates of moves and jumps, NaN where none was tried, if one has them."""
    for name in RATES:
        if name in own or name in more:
            untried = {name: np.nan * own["lp"]}, {name: np.nan * more["lp"]}
            own, more = (each.assign({**no, **each}) for each, no in zip((own, more), untried))
    return own, more


def _prior_of(group: Any) -> Prior:
    try:
        if group.attrs["inference_method"] != "blocked Gibbs":
            raise KeyError
        return Prior.from_json(group.attrs["prior"])
    except (KeyError, InvalidFileError):
        raise InvalidParameterError(
            "continue_from must be draws of diffgmm.sample(method='gibbs') with a number of "
            "components: others have no state to go on from."
        ) from None


def _last_state(group: Any, chain: int, prior: Prior, k: int) -> Start:
    last = group.isel(chain=chain, draw=-1)
    free = "covariances" in last.data_vars
    covariances = last["covariances"].values if free else None
    return Start(
        CONTINUED,
        last["weights"].values,
        last["means"].values,
        covariance_prior(prior.covariance_type).per_component(covariances, k),
        last["C0"].values if "C0" in last.data_vars else None,
    )


def label_free_of(idata: Any) -> dict[str, np.ndarray]:
    """Return the quantities of each draw that do not depend on labels, (chain, draw, ...)."""
    group = as_tree(idata)["sample_stats"]
    return {name: group[name].values for name in LABEL_FREE if name in group.data_vars}


def acceptance_rate_of(idata: Any) -> np.ndarray | None:
    """Return the acceptance rates (chain, draw) under fractional weights of rows, None without."""
    group = as_tree(idata)["sample_stats"]
    return group["acceptance_rate"].values if "acceptance_rate" in group.data_vars else None


def batches(draws: int, target_ess: float | None, earlier: Earlier | None) -> Iterator[int]:
    """Yield how many draws of each chain come next, up to `draws`: all, or as many as there are."""
    done, n_earlier = 0, 0 if earlier is None else earlier.n_draws
    while done < draws:
        size = draws if target_ess is None else max(FIRST_BATCH, n_earlier + done)
        size = min(size, draws - done)
        yield size
        done += size


def interrupted(idata: Any) -> Any:
    """Return draws that Ctrl-C kept from getting more, with a warning."""
    tree = as_tree(idata)
    posterior = tree["posterior"]
    warnings.warn(
        f"Sampling was interrupted: {posterior.sizes['draw']} draws per chain are returned.",
        UserWarning,
        stacklevel=3,
    )
    for attrs in (tree.attrs, posterior.attrs):
        attrs["interrupted"] = 1
    return from_tree(tree)


def is_enough(idata: Any, target_ess: float | None) -> bool:
    """Whether the smallest bulk ESS of label-free quantities has reached the target, if there is one."""
    return target_ess is not None and smallest_ess(idata) >= target_ess


def smallest_ess(idata: Any) -> float:
    """Return the smallest bulk ESS over label-free quantities that vary; NaN counts as 0."""
    moved = varying(label_free_of(idata))
    ess = [np.min(np.nan_to_num(own)) for _, own in (rhat_and_ess(moved) if moved else {}).values()]
    return float(min(ess, default=0.0))


def check_target_ess(value: Any) -> float | None:
    """Return the target as a positive number, or None."""
    if value is None:
        return None
    try:
        target = np.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        target = np.nan
    if not 0.0 < target < np.inf:
        raise InvalidParameterError(f"target_ess must be a positive number or None, got {value!r}.")
    return target
