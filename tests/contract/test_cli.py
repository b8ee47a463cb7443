"""The command line: what it reads, prints, saves, and how it ends."""

import contextlib
import io
import re
import signal
import threading
import time

import numpy as np
import pytest

import diffgmm
from diffgmm.cli import main, reading, running, tables
from diffgmm.errors import InvalidParameterError

MEASURES = ("bill_length_mm", "bill_depth_mm")
QUICK = ("--draws", "60", "--tune", "50", "--chains", "2", "--seed", "1")

HEAVY = ("arviz", "arviz_stats", "numba", "pandas", "scipy", "xarray")


def run(*arguments):
    """Return the exit code, stdout and stderr of one command."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main([str(argument) for argument in arguments])
    return end.value.code, out.getvalue(), err.getvalue()


def is_plain(text):
    """Return whether a table is good for a file and for 80 columns."""
    return "\x1b" not in text and max(len(line) for line in text.splitlines()) <= 80


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Run the test in an empty folder, so that paths in messages are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def penguins(here):
    """Write penguins.csv, with a text column, and return two of its numeric columns."""
    data = diffgmm.datasets.load_penguins()
    lines = [",".join(("species", *data.feature_names))]
    for row, species in zip(data.data, data.target):
        lines.append(",".join((data.target_names[species], *map(repr, row.tolist()))))
    (here / "penguins.csv").write_text("\n".join(lines) + "\n")
    return data.data[:, [data.feature_names.index(name) for name in MEASURES]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Return the folder and the output of one `diffgmm demo`."""
    folder = tmp_path_factory.mktemp("demo")
    with contextlib.chdir(folder):
        code, out, err = run("demo")
    assert (code, err) == (0, "")
    return folder, out


def test_help_is_quick(run_python):
    code = (
        "import sys\n"
        "from diffgmm.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    print('code', end.code)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    printed = run_python(code)
    assert printed.splitlines()[-2:] == ["code 0", "[]"]
    assert all(command in printed for command in ("demo", "fit", "sample"))


def test_help_names_every_covariance_family():
    from diffgmm.covariance import FAMILIES

    code, out, _ = run("fit", "--help")
    assert code == 0
    assert all(family in out for family in FAMILIES)


def test_version():
    assert run("--version") == (0, f"diffgmm {diffgmm.__version__}\n", "")


def test_no_command_prints_the_help():
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "Usage: diffgmm" in out


def test_demo_prints_plain_tables_that_fit_80_columns(demo):
    _, out = demo
    assert is_plain(out)


def test_demo_says_what_each_part_did(demo):
    _, out = demo
    assert re.search(r"Learned scores: the residual is (silent|active)", out)
    assert re.search(r"Diffusion sampler: 1,000 draws, \d+ score evaluations? for each\.", out)
    assert "4 chains of 1,000 draws by blocked Gibbs" in out
    assert "Posterior mean and 94 % equal-tailed interval (quantiles of the draws)" in out
    assert re.search(r"elpd_loo -1141\.\d, SE 17\.\d; Pareto k above 0\.70: 0 of 272 rows\.", out)


def test_demo_prints_what_it_saved(demo):
    folder, out = demo
    posterior = diffgmm.load_inference_data(folder / "faithful.nc")["posterior"]
    printed = re.findall(r"(eruptions|waiting) +([\d.]+) \[([\d.]+), ([\d.]+)\] +([\d.]+)\n", out)
    assert [row[0] for row in printed] == ["eruptions", "waiting"] * 2
    for (feature, *numbers), k in zip(printed, (0, 0, 1, 1)):
        draws = posterior["means"].sel(feature=feature).values[:, :, k]
        covariances = posterior["covariances"].sel(feature=feature, feature_bis=feature)
        expected = [
            draws.mean(),
            *np.quantile(draws, [0.03, 0.97]),
            np.sqrt(covariances.values[:, :, k]).mean(),
        ]
        rounding = [0.501 * 10.0 ** -len(number.partition(".")[2]) for number in numbers]
        assert np.all(np.abs(np.array(numbers, float) - expected) <= rounding)
    rhat = re.search(r"\nlp +-\d+\.\d+ +\d+\.\d+ +(\d\.\d{3}) +([\d,]+)\n", out)
    assert float(rhat[1]) < 1.01
    assert int(rhat[2].replace(",", "")) > 1000


def test_the_next_line_that_demo_prints_works(demo, monkeypatch):
    folder, out = demo
    monkeypatch.chdir(folder)
    last = out.splitlines()[-1]
    assert last == "    import arviz; idata = arviz.from_netcdf('faithful.nc')"
    names = {}
    exec(last.strip(), names)
    assert names["idata"]["posterior"]["means"].shape == (4, 1000, 2, 2)


def test_fit_saves_what_python_would_fit(penguins, here):
    code, out, err = run(
        *("fit", "penguins.csv", "-k", 3, "-o", "fit.json", "--seed", 4),
        *("--columns", ",".join(MEASURES), "--covariance-type", "diag"),
    )
    assert (code, err) == (0, "")
    saved = diffgmm.MixtureFit.load("fit.json")
    expected = diffgmm.fit(penguins, 3, covariance_type="diag", random_seed=4)
    np.testing.assert_array_equal(saved.mixture.means, expected.mixture.means)
    assert saved.mixture.feature_names == MEASURES
    assert is_plain(out)
    assert out.splitlines()[-1] == (
        "    import diffgmm; found = diffgmm.MixtureFit.load('fit.json')"
    )
    names = {}
    exec(out.splitlines()[-1].strip(), names)
    assert names["found"].mixture.n_components == 3


def test_fit_chooses_the_number_of_components(penguins, here):
    code, out, _ = run(
        *("fit", "penguins.csv", "-o", "fit.json", "--seed", 4, "--columns", ",".join(MEASURES))
    )
    assert code == 0
    assert "K = 3 has the best BIC of 1 to 15." in out


def test_sample_saves_what_python_would_draw(penguins, here):
    code, out, _ = run(
        *("sample", "penguins.csv", "-k", 3, "-o", "posterior.nc", *QUICK),
        *("--columns", ",".join(MEASURES)),
    )
    assert code == 0
    assert is_plain(out)
    saved = diffgmm.load_inference_data("posterior.nc")
    with pytest.warns(diffgmm.errors.ConvergenceWarning):
        expected = diffgmm.sample(penguins, 3, draws=60, tune=50, chains=2, random_seed=1)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(saved["posterior"][name], expected["posterior"][name])
    assert saved["posterior"]["feature"].values.tolist() == list(MEASURES)


def test_sample_without_a_number_of_components(here):
    np.save("rows.npy", diffgmm.datasets.load_galaxies().data)
    code, out, err = run("sample", "rows.npy", "-o", "posterior.nc", *QUICK)
    assert code == 0, err
    assert is_plain(out)
    lines = out.splitlines()
    assert lines[0] == "Posterior probability of the number of components"
    assert lines[1].split() == ["Number", "With", "rows", "In", "all"]
    posterior = diffgmm.load_inference_data("posterior.nc")["posterior"]
    for k in (3, 4):
        shares = [np.mean(posterior[name].values == k) for name in ("n_filled", "n_components")]
        assert lines[2 + k].split() == [str(k), *(f"{p:.3f}" for p in shares)]
    names = {}
    exec("\n".join(line.strip() for line in lines[-2:]), names)
    assert names["components"]["posterior"]["weights"].sizes["chain"] == 2


def test_warnings_are_plain_lines(penguins, here):
    np.save("rows.npy", penguins)
    code, _, err = run("sample", "rows.npy", "-k", 3, "-o", "posterior.nc", *QUICK)
    assert code == 0
    assert err == (
        "diffgmm: 60 draws per chain are too few to judge convergence. Use draws=100 or more.\n"
    )


@pytest.mark.parametrize("family", ["tied", "diag", "spherical", "identity"])
def test_sample_prints_every_family(family, here):
    np.save("rows.npy", diffgmm.datasets.load_faithful().data)
    code, out, err = run(
        *("sample", "rows.npy", "-k", 2, "-o", "posterior.nc", *QUICK, "--covariance-type", family)
    )
    assert code == 0, err
    assert is_plain(out)
    assert ("Sd" in out.partition("\n")[2].partition("\n")[0]) == (family != "identity")


def test_sample_writes_zarr(here, optional):
    optional("zarr")
    np.save("rows.npy", diffgmm.datasets.load_galaxies().data)
    code, out, _ = run("sample", "rows.npy", "-k", 3, "-o", "posterior.zarr", *QUICK)
    assert code == 0
    names = {}
    exec(out.splitlines()[-1].strip(), names)
    assert names["idata"]["posterior"]["means"].shape == (2, 60, 3, 1)


ROWS = np.array([[1.5, -2.0, 0.25], [3.0, 4.5, 1.0], [5.0, 6.0, -7.125]])
TEXTS = {
    "header.csv": "a,b,c\n1.5,-2,0.25\n3,4.5,1\n5,6,-7.125\n",
    "windows.csv": "\ufeffa,b,c\r\n1.5,-2,0.25\r\n3,4.5,1\r\n5,6,-7.125\r\n",
    "spaces.csv": "a, b, c\n1.5, -2, 0.25\n3, 4.5, 1\n5, 6, -7.125\n",
    "semicolon.csv": '"a";"b";"c"\n1.5;-2;0.25\n3;4.5;1\n5;6;-7.125\n',
    "commas.csv": "a;b;c\n1,5;-2;0,25\n3;4,5;1\n5;6;-7,125\n",
    "tabs.tsv": "a\tb\tc\n1.5\t-2\t0.25\n3\t4.5\t1\n5\t6\t-7.125\n",
    "headless_commas.csv": "1,5;-2;0,25\n3;4,5;1\n5;6;-7,125\n",
    "headless.csv": "1.5,-2,0.25\n3,4.5,1\n5,6,-7.125\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_reading_text(name, here):
    (here / name).write_bytes(TEXTS[name].encode())
    table = reading.read_table(here / name)
    np.testing.assert_array_equal(table.to_numpy(), ROWS)
    expected = ["x0", "x1", "x2"] if "headless" in name else ["a", "b", "c"]
    assert list(table.columns) == expected


def test_names_with_blanks_come_in_quotes_that_a_shell_takes(here):
    (here / "rows.csv").write_text("length (mm),site\n1.5,north\n2.5,south\n")
    with pytest.raises(InvalidParameterError, match=r"--columns 'length \(mm\)'$"):
        reading.read_table(here / "rows.csv")


def test_reading_some_columns_in_the_order_given(here):
    (here / "rows.csv").write_text(TEXTS["header.csv"])
    table = reading.read_table(here / "rows.csv", "c, a")
    assert list(table.columns) == ["c", "a"]
    np.testing.assert_array_equal(table.to_numpy(), ROWS[:, [2, 0]])


def test_reading_parquet(here, optional):
    optional("pyarrow")
    pandas = optional("pandas")
    pandas.DataFrame(ROWS, columns=["a", "b", "c"]).to_parquet(here / "rows.parquet")
    table = reading.read_table(here / "rows.parquet", "a,c")
    np.testing.assert_array_equal(table.to_numpy(), ROWS[:, [0, 2]])


def test_reading_npy_copies_nothing(here):
    np.save(here / "rows.npy", ROWS)
    array = reading.read_table(here / "rows.npy")
    assert isinstance(array, np.memmap)
    assert np.shares_memory(diffgmm.data.Data.of(array).values, array)
    some = reading.read_table(here / "rows.npy", "x2,x0")
    np.testing.assert_array_equal(some.to_numpy(), ROWS[:, [2, 0]])


def test_ctrl_c_before_the_first_draw_saves_nothing(here, monkeypatch):
    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    np.save("rows.npy", ROWS)
    for name, output in (("fit", "fit.json"), ("sample", "posterior.nc")):
        monkeypatch.setattr(running, name, interrupted)
        code, out, err = run(name, "rows.npy", "-k", 1, "-o", output)
        assert (code, out, err) == (130, "", "diffgmm: interrupted, nothing was saved.\n")
    assert [path.name for path in here.iterdir()] == ["rows.npy"]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of Windows are others")
def test_ctrl_c_during_the_draws_saves_what_there_is(here, monkeypatch, request):
    """The interrupt comes once every chain has a tenth of its draws."""
    from diffgmm.progress import Progress

    # A shell that starts this in the background lets it ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    draws, tune = 100_000, 20
    drawing, lock = set(), threading.Lock()

    def bars(self, labels, total):
        def update(index, done):
            with lock:
                if done > draws // 10:
                    drawing.add(index)
                if len(drawing) == len(labels):
                    drawing.add("interrupted")
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            if "interrupted" in drawing:  # a busy main thread may hear of it late
                time.sleep(1.0)

        return update

    monkeypatch.setattr(Progress, "bars", bars)
    np.save("rows.npy", diffgmm.datasets.load_galaxies().data)
    code, _, err = run(
        *("sample", "rows.npy", "-k", 2, "-o", "posterior.nc", "--seed", 1),
        *("--draws", draws, "--tune", tune, "--chains", 2),
    )
    assert code == 130
    said = re.fullmatch(
        r"diffgmm: interrupted, (\d+) of 100000 draws per chain are in 'posterior\.nc'\.\n", err
    )
    assert said, err
    kept = diffgmm.load_inference_data("posterior.nc")["posterior"].sizes["draw"]
    assert 0 < kept < draws
    assert int(said[1]) == kept


@pytest.mark.parametrize(
    ("value", "step", "expected"),
    [
        (4.28947, 0.03, "4.29"),
        (79.968, 0.45, "80.0"),
        (79.968, 0.39, "80.0"),
        (5076.2, 37.0, "5076"),
        (-0.00012345, 1e-5, "-0.000123"),
        (0.5, 0.0, "0.5"),
        (np.nan, 1.0, "nan"),
        (-2.93552e7, 5160.0, "-2.93552e+07"),
    ],
)
def test_numbers_show_what_is_known_of_them(value, step, expected):
    assert tables.number(value, step) == expected


def test_long_tables_are_cut_and_say_so():
    n_features = 70
    mixture = diffgmm.GaussianMixture([1.0], np.zeros((1, n_features)), [np.eye(n_features)])
    table = tables.mixture_table(mixture)
    assert table.row_count == tables.MOST_ROWS
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        tables.show(tables.console(), table)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert (lines[0], lines[-1]) == ("Maximum likelihood estimate", "10 more rows are in the file.")


def test_names_are_printed_as_they_are():
    """Rich would take brackets for markup and colons for pictures."""
    names = ("[red]size[/red]", ":smile:", "größe")
    mixture = diffgmm.GaussianMixture([1.0], [[0.0] * 3], [np.eye(3)], feature_names=names)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        tables.show(tables.console(), tables.mixture_table(mixture))
    assert all(name in out.getvalue() for name in names)


@pytest.mark.parametrize(
    ("method", "said"),
    [("bootstrap", "weighted likelihood bootstrap"), ("diffusion", "noise ladder")],
)
def test_sample_by_another_method(method, said, here):
    np.save("rows.npy", diffgmm.datasets.load_galaxies().data)
    options = ("-o", "posterior.nc", "--method", method, *QUICK)
    code, out, err = run("sample", "rows.npy", "-k", 2, *options)
    assert code == 0, err
    assert is_plain(out)
    assert f"2 chains of 60 draws by {said}, " in out
    attrs = diffgmm.load_inference_data("posterior.nc")["posterior"].attrs
    assert attrs["inference_method"] == said
    code, out, err = run("sample", "rows.npy", *options)
    assert (code, out) == (2, "")
    assert err.startswith("diffgmm: ")
    assert err.count("\n") == 1
