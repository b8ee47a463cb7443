"""`diffgmm plot` and `diffgmm report`: files appear whole, hold what they say, and refuse in one line."""

import base64
import re
import warnings

import numpy as np
import pytest

import diffgmm
from diffgmm.cli import main
from diffgmm.errors import InvalidFileError, InvalidParameterError

PNG = b"\x89PNG\r\n\x1a\n"


def run(arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(own) for own in arguments])
    return ended.value.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with rows, whose names must be escaped, and the report on them."""
    path = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(1)
    x = rng.standard_normal((120, 2)) + 5.0 * rng.integers(0, 2, (120, 1))
    rows = "\n".join(",".join(f"{value:.4f}" for value in row) for row in x)
    (path / "a<b.csv").write_text(f"<i>x</i>,y & z\n{rows}\n")
    return path


@pytest.fixture(scope="module")
def report(folder):
    page, posterior = folder / "page.html", folder / "posterior.nc"
    code = run(
        ["report", folder / "a<b.csv", "-o", page, "-k", 2, "--posterior", posterior, "--seed", 1]
        + ["--draws", 300, "--tune", 200, "--bootstrap", 19, "--cores", 1]
    )
    assert code == 0
    return page.read_text("utf-8")


def test_a_page_holds_tables_and_pictures_and_needs_nothing_else(report):
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', report)
    assert len(pictures) == 8
    assert all(base64.b64decode(own).startswith(PNG) for own in pictures)
    assert report.count("<table>") == 4
    assert "elpd_loo" in report
    assert "Misfit by scale" in report
    assert not re.search(r'(src|href)="(?!data:)|<script|@import|url\(', report)


def test_names_are_escaped(report):
    assert "<title>Gaussian mixture of a&lt;b.csv</title>" in report
    assert "&lt;i&gt;x&lt;/i&gt;" in report
    assert "<i>" not in report
    assert "y &amp; z" in report


def test_a_posterior_that_is_there_is_read(report, folder, capsys):
    page = folder / "again.html"
    before = (folder / "posterior.nc").stat().st_mtime_ns
    code = run(["report", folder / "a<b.csv", "-o", page, "--posterior", folder / "posterior.nc"])
    assert code == 0
    assert (folder / "posterior.nc").stat().st_mtime_ns == before
    assert page.read_text("utf-8") == report
    assert "Gaussian mixture: 2 components" in capsys.readouterr().out


def test_from_python_the_page_is_the_same(report, folder, tmp_path):
    idata = diffgmm.load_inference_data(folder / "posterior.nc")
    page = tmp_path / "page.html"
    diffgmm.save_report(idata, page, title="Gaussian mixture of a<b.csv")
    assert page.read_text("utf-8") == report
    with pytest.raises(InvalidFileError, match=r"its name must end in \.html\.$"):
        diffgmm.save_report(idata, tmp_path / "page.pdf")
    with pytest.raises(InvalidParameterError, match=r"with their rows.*got MixtureFit"):
        diffgmm.save_report(diffgmm.fit(diffgmm.datasets.load_galaxies(), 1, random_seed=1), page)


def test_a_posterior_of_other_rows_is_refused(report, folder, capsys):
    (folder / "other.csv").write_text("x,y\n1,2\n2,3.5\n3,1\n")
    posterior = folder / "posterior.nc"
    arguments = ["report", folder / "other.csv", "-o", folder / "no.html", "--posterior", posterior]
    assert run(arguments) == 2
    expected = f"diffgmm: The posterior in {str(posterior)!r} was not sampled from these rows."
    assert capsys.readouterr().err.startswith(expected)
    assert not (folder / "no.html").exists()


@pytest.mark.parametrize("kind", ["components", "density"])
def test_a_picture_of_a_posterior(kind, report, folder):
    path = folder / f"{kind}.png"
    code = run(["plot", folder / "posterior.nc", "-o", path, "--kind", kind, "--features", "y & z"])
    assert code == 0
    assert path.read_bytes().startswith(PNG)


def test_a_picture_of_a_fit_with_its_rows(folder):
    fit, path = folder / "fit.json", folder / "fit.svg"
    data = folder / "a<b.csv"
    assert run(["fit", data, "-k", 2, "-o", fit, "--seed", 1]) == 0
    assert run(["plot", fit, "-o", path, "--kind", "membership", "--data", data]) == 0
    assert "<svg" in path.read_text("utf-8")


REFUSED = {
    "another ending": (
        ["report", "{data}", "-o", "page.pdf"],
        "diffgmm: Cannot write 'page.pdf': its name must end in .html.\n",
    ),
    "no such picture": (
        ["plot", "{posterior}", "-o", "{folder}/a.png", "--kind", "pie"],
        "diffgmm: --kind must be one of co_clustering, components, denoising_loss, density, "
        "membership, misfit, n_components, path, pit, ppc_clusters, score_field, trajectories, "
        "warm_starts, got 'pie'.\n",
    ),
    "no features": (
        ["plot", "{posterior}", "-o", "{folder}/a.png", "--kind", "pit", "--features", "y & z"],
        "diffgmm: The picture 'pit' takes no --features.\n",
    ),
    "a fit without rows": (
        ["plot", "{folder}/fit.json", "-o", "{folder}/a.png", "--kind", "pit"],
        "diffgmm: There is no group observed_data with the rows. Give X.\n",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_one_line(case, report, folder, capsys):
    if not (folder / "fit.json").exists():
        run(["fit", folder / "a<b.csv", "-k", 2, "-o", folder / "fit.json", "--seed", 1])
        capsys.readouterr()
    arguments, message = REFUSED[case]
    places = {
        "data": folder / "a<b.csv", "posterior": folder / "posterior.nc", "folder": folder
    }  # fmt: skip
    assert run([own.format(**places) for own in arguments]) == 2
    assert capsys.readouterr().err == message
    assert not (folder / "a.png").exists()


def interrupted_sample(monkeypatch, share):
    """Let sample return some of its draws and say that Ctrl-C came."""
    from diffgmm.cli import picturing

    def sample(data, k, **settings):
        idata = diffgmm.sample(data, k, **{**settings, "draws": int(share * settings["draws"])})
        idata["posterior"].attrs["interrupted"] = 1
        warnings.warn("Sampling was interrupted.", UserWarning, stacklevel=2)
        return idata

    monkeypatch.setattr(picturing, "sample", sample)


def test_ctrl_c_during_the_draws_makes_a_page_that_says_so(folder, monkeypatch, capsys):
    interrupted_sample(monkeypatch, 0.5)
    page, posterior = folder / "some.html", folder / "some.nc"
    code = run(
        ["report", folder / "a<b.csv", "-o", page, "-k", 2, "--posterior", posterior, "--seed", 1]
        + ["--draws", 240, "--tune", 50, "--chains", 2, "--cores", 1]
    )
    _, err = capsys.readouterr()
    assert code == 130
    expected = f"120 of 240 draws per chain are in {str(page)!r}, without the check."
    assert err == f"diffgmm: interrupted, {expected}\n"
    assert "Sampling was interrupted: these are the draws that were done by then." in (
        page.read_text("utf-8")
    )
    assert "misfit" not in diffgmm.load_inference_data(posterior)


def test_ctrl_c_during_the_check_keeps_the_posterior(folder, monkeypatch, capsys):
    from diffgmm.cli import picturing

    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(picturing, "compute_misfit", interrupted)
    page, posterior = folder / "none.html", folder / "kept.nc"
    arguments = ["report", folder / "a<b.csv", "-o", page, "-k", 2, "--seed", 1]
    arguments += ["--draws", 120, "--tune", 50, "--chains", 2, "--cores", 1]
    assert run([*arguments, "--posterior", posterior]) == 130
    err = capsys.readouterr().err
    assert err == (
        f"diffgmm: interrupted, the posterior is in {str(posterior)!r}, there is no page.\n"
    )
    assert diffgmm.load_inference_data(posterior)["posterior"].sizes["draw"] == 120
    assert not page.exists()


def test_ctrl_c_during_the_fit_ends_the_report(folder, monkeypatch, capsys):
    from diffgmm.cli import picturing
    from diffgmm.learn.fit import INTERRUPTED

    def fit(data, k, **settings):
        warnings.warn(INTERRUPTED, diffgmm.errors.ConvergenceWarning, stacklevel=2)
        return diffgmm.fit(data, 2, random_seed=1)

    monkeypatch.setattr(picturing, "fit", fit)
    page = folder / "nothing.html"
    assert run(["report", folder / "a<b.csv", "-o", page]) == 130
    assert capsys.readouterr().err == "diffgmm: interrupted, nothing was saved.\n"
    assert not page.exists()


def test_few_draws_are_shown_without_leaving_rows_out(folder, capsys):
    """24 draws; of fewer than 25 ArviZ 1.x has no PSIS, and that of 0.x means nothing."""
    posterior, page = folder / "few.nc", folder / "few.html"
    data, few = folder / "a<b.csv", ["-k", 2, "--draws", 12, "--tune", 20, "--chains", 2]
    assert run(["sample", data, "-o", posterior, "--seed", 1, "--cores", 1, *few]) == 0
    assert "elpd_loo needs 25 draws of all chains together, or more." in capsys.readouterr().out
    assert run(["report", data, "-o", page, "--posterior", posterior, "--no-check"]) == 0
    text = page.read_text("utf-8")
    assert "elpd_loo" not in text
    assert text.count("<h2>") == 6
    with pytest.raises(InvalidParameterError) as info:
        diffgmm.loo_pit(diffgmm.load_inference_data(posterior))
    assert str(info.value) == (
        "Leaving rows out needs 25 draws or more, got 24. Sample more of them, or use loo=False."
    )
