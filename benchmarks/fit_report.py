"""The table and the figure of benchmarks/fit.py, for tutorials/benchmarks/."""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent / "tutorials" / "benchmarks"

# Okabe and Ito's colours, told apart by every kind of colour vision; markers tell them apart in grey.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#000000", "#CC79A7")
MARKERS = ("o", "s", "^", "x", "D")

# Gaps smaller than this, in nats per row, are drawn here.
SMALLEST_GAP = 1e-6


def save(records, rows, is_found, command):
    """Write fit.md and fit.png."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    draw(records).savefig(FOLDER / "fit.png", dpi=150)
    (FOLDER / "fit.md").write_text(text(records, rows, is_found, command), encoding="utf-8")


def text(records, rows, is_found, command):
    """Return the page: one table over all problems, one by problem."""
    lines = [
        "# Fits of mixtures with a known truth",
        "",
        f"`{command}`",
        "",
        "One thread each. Optimum found: within 1e-4 nat per row of EM started at the truth, or",
        "better, and on 100,000 fresh rows not more than 0.005 nat below it. TV: total variation to",
        "the truth. Memory: rise of the resident size during the fit.",
        "",
        "![Log-likelihood gap and seconds by problem](fit.png)",
        "",
        "Relative: seconds over this package's, on the fits that both make (scikit-learn has no known",
        "unit covariance).",
        "",
        "| problems | fitter | optimum found | worst gap, nat per row | mean TV | seconds | relative | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['set']} | {row['fitter']} | {row['found']} of {row['fits']} | {row['worst_gap']:.4f} "
            f"| {row['total_variation']:.3f} | {row['seconds']:.2f} "
            f"| {row['relative']:.2f} | {row['memory']:.0f} |"
        )
    lines += ["", "| problem | fitter | found | median gap | TV | seconds | peak MB |", "|---|---|---|---|---|---|---|"]
    for (problem, fitter), own in grouped(records).items():
        lines.append(
            f"| {problem} | {fitter} | {sum(map(is_found, own))} of {len(own)} "
            f"| {np.median([r['gap'] for r in own]):+.5f} "
            f"| {np.mean([r['total_variation'] for r in own]):.3f} "
            f"| {np.mean([r['seconds'] for r in own]):.3f} | {max(r['memory'] for r in own):.0f} |"
        )
    return "\n".join(lines) + "\n"


def grouped(records):
    """Return the records by problem and fitter."""
    groups = {}
    for record in records:
        groups.setdefault((record["problem"], record["fitter"]), []).append(record)
    return groups


def draw(records):
    """Return the figure: how far below the best optimum, and seconds, by problem."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = grouped(records)
    problems = list(dict.fromkeys(problem for problem, _ in groups))
    fitters = list(dict.fromkeys(fitter for _, fitter in groups))
    figure, axes = pyplot.subplots(
        1, 2, figsize=(10, 1.5 + 0.3 * len(problems)), sharey=True, layout="constrained"
    )
    for index, fitter in enumerate(fitters):
        fitted = [row for row, problem in enumerate(problems) if (problem, fitter) in groups]
        own = [groups[problems[row], fitter] for row in fitted]
        height = np.array(fitted) + 0.12 * (index - (len(fitters) - 1) / 2)
        short = [max(-min(r["gap"] for r in each), SMALLEST_GAP) for each in own]
        seconds = [np.mean([r["seconds"] for r in each]) for each in own]
        style = {"color": COLOURS[index], "marker": MARKERS[index], "linestyle": "none", "ms": 5}
        axes[0].plot(short, height, label=fitter, **style)
        axes[1].plot(seconds, height, **style)
    axes[0].axvline(1e-4, color="0.4", linewidth=1, linestyle="--")
    axes[0].set(xlabel="nat per row below EM from the truth (dashed: 1e-4)")
    axes[1].set(xlabel="seconds per fit, one thread")
    axes[0].set_yticks(range(len(problems)), problems)
    axes[0].invert_yaxis()
    for each in axes:
        each.set_xscale("log")
        each.grid(axis="both", color="0.9")
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(fitters), frameon=False)
    return figure
