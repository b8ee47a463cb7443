"""The door to PyMC: mixtures as fast distributions, starts, a sampler for many modes, priors.

Works with PyMC 5.28 (Python 3.11) and PyMC 6 (3.12 and later). Nothing else of the package imports
PyMC.
"""

try:
    import pymc as _pymc  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "pymc":
        raise
    raise ModuleNotFoundError(
        "diffgmm.pymc needs PyMC. Install it with: pip install 'diffgmm[pymc]'", name="pymc"
    ) from None

from .distribution import GaussianMixture
from .gibbs_step import MixtureGibbs
from .initvals import initvals
from .prior import prior_from_idata
from .sample import sample

__all__ = ["GaussianMixture", "MixtureGibbs", "initvals", "prior_from_idata", "sample"]
