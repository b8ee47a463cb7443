"""A Gibbs sampler with data augmentation for the problems of problems.py (NumPy only), all chains at once.

Every full conditional is standard: allocations, weights | z, means | z, covariances, covariances | z, means, C0, and
C0 | covariances ~ Wishart(2 g0 + 2 c0 K, (2 G0 + 2 sum_k Sigma_k^-1)^-1). Used by reference_numpyro.py as a check.
"""
import time

import numpy as np


def wishart(rng, df, V):
    """Wishart(df, V) by Bartlett's factors, batched over the leading axes of V; df of the batch's shape."""
    D = V.shape[-1]
    A = np.tril(rng.standard_normal(V.shape), -1)
    i = np.arange(D)
    A[..., i, i] = np.sqrt(rng.chisquare(np.broadcast_to(df, V.shape[:-2])[..., None] - i))
    A = np.linalg.cholesky(V) @ A
    return A @ np.swapaxes(A, -1, -2)


def run(p, starts, warmup, draws, seed, betas=(1.0,)):
    """One chain per start (weights, means, covariances, C0 or None) -> draws and facts, as in reference_numpyro.run.

    With several `betas` (1 first, falling) each chain is a parallel-tempering ladder whose rung b targets
    p(parameters) p(z | weights) p(x | z, means, covariances)^b; only the draws of rung b = 1 are kept. Raising the
    likelihood to b keeps every conditional standard: an allocated point then counts as b points.
    """
    rng, T = np.random.default_rng(seed), len(betas)
    beta, C = np.tile(betas, len(starts)), len(starts)
    w, mu, cov = (np.repeat([s[i] for s in starts], T, axis=0) for i in range(3))
    C0 = np.repeat([s[3] for s in starts], T, axis=0) if p.S is None else None
    keep = [None if a is None else np.empty((C, draws, *a.shape[1:])) for a in (w, mu, cov, C0)]
    swaps, tries, ladder, trips = np.zeros(T - 1), np.zeros(T - 1), np.tile(np.arange(T), (C, 1)), 0
    seen_hot = np.zeros((C, T), bool)  # replicas that have been at the last rung since they were at the first
    t0 = time.perf_counter()
    for t in range(warmup + draws):
        P = np.linalg.inv(cov)
        e = p.x[None, :, None] - mu[:, None]  # (C T, n, K, D)
        white = np.einsum("ckij,cnkj->cnki", np.swapaxes(np.linalg.cholesky(P), -1, -2), e)
        log_n = 0.5 * np.linalg.slogdet(P)[1][:, None] - 0.5 * (white**2).sum(-1)
        a = np.log(w)[:, None] + beta[:, None, None] * log_n
        z = np.argmax(a + rng.gumbel(size=a.shape), axis=-1)
        r = (z[..., None] == np.arange(p.K)).astype(float)
        if T > 1:  # exchange whole states of neighbouring rungs, odd and even pairs in turn
            order, i = np.tile(np.arange(T), (C, 1)), np.arange(t % 2, T - 1, 2)
            ll = (r * log_n).sum((1, 2)).reshape(C, T)
            gap = (np.asarray(betas)[i] - np.asarray(betas)[i + 1]) * (ll[:, i + 1] - ll[:, i])
            yes = np.log(rng.random(gap.shape)) < gap
            order[:, i], order[:, i + 1] = np.where(yes, i + 1, i), np.where(yes, i, i + 1)
            swaps[i] += yes.sum(0)
            tries[i] += C
            ladder = np.take_along_axis(ladder, order, 1)
            seen_hot[np.arange(C), ladder[:, -1]] = True
            trips += int(seen_hot[np.arange(C), ladder[:, 0]].sum()) if t >= warmup else 0
            seen_hot[np.arange(C), ladder[:, 0]] = False
            pick = (order + T * np.arange(C)[:, None]).ravel()
            w, mu, cov, r, P = w[pick], mu[pick], cov[pick], r[pick], P[pick]
            C0 = None if C0 is None else C0[pick]
        n = r.sum(1)
        g = rng.standard_gamma(1 + n)
        w = g / g.sum(-1, keepdims=True)
        r *= beta[:, None, None]
        n = r.sum(1)
        B = np.linalg.inv(np.diag(p.b**-2.0) + n[..., None, None] * P)
        h = p.m0 / p.b**2 + np.einsum("ckij,ckj->cki", P, np.swapaxes(r, 1, 2) @ p.x)
        mu = np.einsum("ckij,ckj->cki", B, h) + np.einsum("ckij,ckj->cki", np.linalg.cholesky(B), rng.standard_normal(mu.shape))
        e = p.x[None, :, None] - mu[:, None]
        S = (p.S if C0 is None else 2 * C0[:, None]) + np.einsum("cnk,cnki,cnkj->ckij", r, e, e)
        P = wishart(rng, p.df + n, np.linalg.inv(S))
        cov = np.linalg.inv(P)
        if C0 is not None:
            C0 = wishart(rng, p.C0_df + p.df * p.K, np.linalg.inv(2 * p.G0 + 2 * P.sum(1)))
        if t >= warmup:
            for store, value in zip(keep, (w, mu, cov, C0)):
                if value is not None:
                    store[:, t - warmup] = value[::T]
    facts = {"sampler": "Gibbs with data augmentation", "chains": C, "warmup": warmup, "draws": draws, "seed": seed,
             "seconds": round(time.perf_counter() - t0, 1)}
    if T > 1:
        facts |= {"sampler": "parallel tempering of Gibbs with data augmentation", "betas": list(betas),
                  "swap_rates": (swaps / tries).round(3).tolist(), "trips_last_to_first_rung": trips}
    return tuple(keep), facts
