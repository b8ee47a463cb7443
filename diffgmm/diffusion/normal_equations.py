"""Ridge regressions from normal equations kept per fold: no choice needs another pass over rows."""

from dataclasses import dataclass

import numpy as np

# Ridge penalties, as shares of each component's own energy.
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)


def n_polynomials(n_features: int, degree: int) -> int:
    """Return how many Hermite products of D features have total degree <= `degree` (0, 1 or 2)."""
    return (1, 1 + n_features, 1 + n_features + n_features * (n_features + 1) // 2)[degree]


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Sums of f f' and t f' over the rows of each fold; P = K p columns f, D targets t.

    gram : (F, P, P) symmetric.   right : (F, D, P).   n_components : K.
    """

    gram: np.ndarray
    right: np.ndarray
    n_components: int

    @classmethod
    def of(cls, lower: np.ndarray, right: np.ndarray, n_components: int) -> "NormalEquations":
        """Return the equations whose Gram matrices have this lower triangle."""
        strict = np.tril(lower, -1)
        return cls(np.tril(lower) + np.swapaxes(strict, 1, 2), right, n_components)

    @property
    def n_folds(self) -> int:
        """Number of folds F."""
        return len(self.gram)

    def without(self, fold: int) -> "NormalEquations":
        """Return the equations of all folds but one."""
        kept = np.arange(self.n_folds) != fold
        return NormalEquations(self.gram[kept], self.right[kept], self.n_components)

    def restricted(self, components: np.ndarray) -> "NormalEquations":
        """Return the equations of the components that are True in `components` (K,)."""
        columns = np.repeat(components, self.gram.shape[1] // self.n_components)
        return NormalEquations(
            np.ascontiguousarray(self.gram[:, columns][:, :, columns]),
            np.ascontiguousarray(self.right[:, :, columns]),
            int(components.sum()),
        )

    def best(self) -> np.ndarray:
        """Return the coefficients (K, p, D) whose degree and ridge predict left-out folds best.

        All zero when none predicts better than no residual at all.
        """
        n_features, n_columns = self.right.shape[1:]
        p = n_columns // self.n_components
        least, coefficients = 0.0, np.zeros((n_columns, n_features))
        training = [
            (self.gram.sum(axis=0) - g, self.right.sum(axis=0) - r) for g, r in self._folds()
        ]
        gram, right = (np.array(part) for part in zip(*training))
        for columns in self._degrees(p):
            for ridge in RIDGES:
                solved = self._solve(gram, right, columns, ridge)
                loss = self._loss(solved, columns)
                if loss < least:
                    least = loss
                    coefficients[:] = 0.0
                    whole = self._solve(
                        self.gram.sum(axis=0), self.right.sum(axis=0), columns, ridge
                    )
                    coefficients[columns] = whole
        return coefficients.reshape(self.n_components, p, n_features)

    def _folds(self):
        return zip(self.gram, self.right)

    def _degrees(self, p: int) -> list[np.ndarray]:
        """Return the columns of degree 0, of degree <= 1, ... of every component."""
        d = self.right.shape[1]
        sizes = [n for n in (n_polynomials(d, degree) for degree in range(3)) if n <= p]
        starts = np.arange(self.n_components)[:, None] * p
        return [(starts + np.arange(size)).ravel() for size in sizes]

    def _solve(
        self, gram: np.ndarray, right: np.ndarray, columns: np.ndarray, ridge: float
    ) -> np.ndarray:
        """Return ridge coefficients (..., n, D) of n columns, for arrays (..., P, P) and (..., D, P)."""
        diagonal = np.diagonal(gram, axis1=-2, axis2=-1)
        p = gram.shape[-1] // self.n_components
        # phi is orthonormal, so a component's constant column has the energy of its other columns.
        own = diagonal[..., (columns // p) * p]
        penalty = ridge * own + 1e-10 * diagonal.max(axis=-1, keepdims=True)
        block = gram[..., columns[:, None], columns]
        block = block + penalty[..., None] * np.eye(len(columns))
        return np.linalg.solve(block, np.swapaxes(right[..., columns], -1, -2))

    def _loss(self, coefficients: np.ndarray, columns: np.ndarray) -> float:
        """Return how much |t - B f|^2 exceeds |t|^2 on each fold for its coefficients (F, n, D)."""
        block = self.gram[:, columns[:, None], columns]
        right = np.swapaxes(self.right[:, :, columns], 1, 2)
        return float((coefficients * (block @ coefficients - 2.0 * right)).sum())
