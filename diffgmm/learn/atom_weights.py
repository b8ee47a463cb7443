"""Weights of given atoms: constrained Newton steps for the likelihood of a mixing distribution."""

import numpy as np

from ..covariance import components_of
from ..kernels import npmle as kernels
from .em import Parameters, Problem, expect

# Up to so many atoms the least-squares problem of a step is solved as it stands; above, first by
# dropping whatever turns negative, ten times sooner. Steps are halved until the likelihood does not
# fall.
FEW_ATOMS = 300
SHORTEST_STEP = 1e-2

# Added to the unit diagonal of that problem's matrix, so that atoms side by side can be told apart.
JITTER = 1e-13

# A lost atom has less mass than this.
DUST = 1e-9


def on_atoms(weights: np.ndarray, atoms: np.ndarray) -> Parameters:
    """Return unit Gaussians on atoms (K, D) with weights (K,), made to sum to 1."""
    return Parameters(weights / weights.sum(), np.ascontiguousarray(atoms), np.ones(len(weights)))


def newton_step(problem: Problem, parameters: Parameters) -> Parameters:
    """Return the atoms under the weights of a constrained Newton step, those of weight 0 dropped.

    With S_ij = N(x_i; a_j, I) / p(x_i), the mean log likelihood at weights v is, to second order,
    that of the current ones plus 2 g'v - v'Hv / 2 - 3 / 2, g_j = mean_i S_ij and H = S'S / n.
    """
    weights = parameters.weights
    value, (counts, _, _) = expect(problem, parameters)
    n, k = problem.n_effective, len(weights)
    components = components_of(*parameters, problem.family)

    def work(start, stop, sums):
        kernels.responsibility_moments(problem.rows, components, start, stop, sums[0])
        return 0.0

    lower = problem.blocks.sum(work, ((k, k),))[1][0]
    gram = np.tril(lower) + np.tril(lower, -1).T
    hessian, gradient = gram / (n * np.outer(weights, weights)), counts / (n * weights)
    for optimum in (_dropping, _least_squares) if k > FEW_ATOMS else (_least_squares,):
        goal, step = _newton_goal(hessian, gradient, optimum), 1.0
        while step > SHORTEST_STEP:
            tried = (1.0 - step) * weights + step * goal
            kept = tried > DUST
            candidate = on_atoms(tried[kept], parameters.means[kept])
            if expect(problem, candidate)[0] >= value:
                return candidate
            step *= 0.5
    return parameters


def _newton_goal(hessian: np.ndarray, gradient: np.ndarray, optimum) -> np.ndarray:
    """Return v >= 0 with sum 1 that minimises v'Hv / 2 - 2 g'v, (K,).

    Wang (2007): with P = S - 2, the same v up to its sum minimises |Pv|^2 / n + (1'v - 1)^2 over
    v >= 0, a least-squares problem with the matrix H - 2 (g1' + 1g') + 5 and the right-hand side 1.
    """
    normal = hessian - 2.0 * (gradient[:, None] + gradient) + 5.0
    # Scaled to a unit diagonal: atoms of one row have entries of n, the others of 1.
    root = np.sqrt(np.diagonal(normal))
    normal = normal / np.outer(root, root) + JITTER * np.eye(len(root))
    goal = optimum(normal, 1.0 / root) / root
    return goal / goal.sum()


def _least_squares(normal: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return v >= 0 with the least v'Qv - 2 r'v, for Q (K, K) and r (K,)."""
    from scipy.optimize import nnls
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        lower = np.linalg.cholesky(normal)
        return nnls(lower.T, np.linalg.solve(lower, right), maxiter=10 * len(right))[0]


def _dropping(normal: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return nearly that: whoever turns negative is out for good.

    What is dropped too early comes back as a maximum of D.
    """
    from threadpoolctl import threadpool_limits

    kept, solution = np.arange(len(right)), np.full(1, -1.0)
    with threadpool_limits(1):
        while True:
            solution = np.linalg.solve(normal[np.ix_(kept, kept)], right[kept])
            if solution.min() > 0.0:
                break
            kept = kept[solution > 0.0]
    result = np.zeros(len(right))
    result[kept] = solution
    return result
