"""The door to scikit-learn: a drop-in for its `GaussianMixture`, with row weights."""

try:
    import sklearn as _sklearn  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise
    raise ModuleNotFoundError(
        "diffgmm.sklearn needs scikit-learn. Install it with: pip install 'diffgmm[sklearn]'",
        name="sklearn",
    ) from None

from .estimator import GaussianMixture

__all__ = ["GaussianMixture"]
