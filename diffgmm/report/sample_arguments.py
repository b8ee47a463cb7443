"""What `sample` was asked for, checked: the rule, what was given, the remedy."""

from typing import Any, get_args

import numpy as np

from ..arguments import check_count
from ..blocks import check_cores
from ..errors import InvalidParameterError
from ..learn.resampling import Bootstrap
from ..posterior.sample import Settings

KINDS = get_args(Bootstrap)


def settings_of(
    draws: int,
    tune: int,
    chains: int,
    cores: int | None,
    progressbar: bool,
    compute_log_likelihood: bool,
) -> Settings:
    """Return how much to sample, and where."""
    if isinstance(tune, bool) or not isinstance(tune, (int, np.integer)) or tune < 0:
        raise InvalidParameterError(f"tune must be a non-negative integer, got {tune!r}.")
    return Settings(
        check_count("draws", draws),
        int(tune),
        check_count("chains", chains),
        check_cores(cores),
        bool(progressbar),
        bool(compute_log_likelihood),
    )


def check_method(method: Any) -> None:
    """Refuse what is no method."""
    if method not in (None, "gibbs", "diffusion", "bootstrap"):
        raise InvalidParameterError(
            f"method must be 'gibbs', 'diffusion', 'bootstrap' or None, got {method!r}."
        )


def check_bootstrap(
    method: Any, bootstrap: Any, init: str, target_ess: float | None, earlier: Any
) -> None:
    """Refuse a kind of bootstrap that is none, or has no part in the method; and the reverse."""
    if bootstrap not in KINDS:
        raise InvalidParameterError(
            f"bootstrap must be one of {', '.join(map(repr, KINDS))}, got {bootstrap!r}."
        )
    if method != "bootstrap":
        if bootstrap != KINDS[0]:
            raise InvalidParameterError(
                f"bootstrap={bootstrap!r} has no part in method={method or 'gibbs'!r}. "
                "Use method='bootstrap', or leave it out."
            )
        return
    given = {
        "init='prior'": init != "auto",
        "target_ess": target_ess is not None,
        "continue_from": earlier is not None,
    }
    _refuse("bootstrap", given)


def check_init(init: Any) -> None:
    """Refuse a start that is none."""
    if init not in ("auto", "prior"):
        raise InvalidParameterError(f"init must be 'auto' or 'prior', got {init!r}.")


def check_for_ladder(
    n_components: Any, row_weights: np.ndarray | None, target_ess: float | None, earlier: Any
) -> None:
    """Refuse what only chains of Gibbs sampling with a number of components can do."""
    given = {
        "n_components=None": n_components is None and earlier is None,
        "sample_weight": row_weights is not None,
        "target_ess": target_ess is not None,
        "continue_from": earlier is not None,
    }
    _refuse("diffusion", given)


def _refuse(method: str, given: dict[str, bool]) -> None:
    wrong = [name for name, is_given in given.items() if is_given]
    if wrong:
        raise InvalidParameterError(
            f"method={method!r} does not go with {wrong[0]}. Use method='gibbs', or leave it out."
        )


def check_continued(init: str) -> None:
    """Refuse another start for chains that go on."""
    if init != "auto":
        raise InvalidParameterError(
            f"continue_from does not go with init={init!r}: its chains go on from their last "
            "states. Leave one of them out."
        )


def check_for_unknown_k(row_weights: np.ndarray | None, target_ess: float | None) -> None:
    """Refuse what needs a number of components."""
    if row_weights is not None:
        raise InvalidParameterError(
            "sample_weight needs n_components: with K unknown rows count once each. "
            "Give n_components, or leave sample_weight out."
        )
    if target_ess is not None:
        raise InvalidParameterError(
            "target_ess needs n_components: a chain with K unknown is not continued. "
            "Give n_components, or raise draws."
        )
