"""Every block of code in the documentation runs, on small data and with short trainings."""

import contextlib
import io
import re
import shlex
import shutil
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import seqrec
from seqrec.cli.command_line import main
from seqrec.interactions.synthetic import synthetic_interactions

ROOT = Path(__file__).parents[1]
PAGES = {str(path.relative_to(ROOT / "docs")): path for path in sorted((ROOT / "docs").rglob("*.md"))}
BLOCK = re.compile(
    r"(?P<mark><!-- not run: [^>]+ -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE
)
SHORT = ["--max_steps", "2", "--disable_tqdm", "true"]
TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "max_steps": 2}
START = 1_700_000_000
DAY = 86_400


def blocks_of(text):
    """List the language and code of each block that is to be run."""
    return [(found["language"], found["code"]) for found in BLOCK.finditer(text) if found["mark"] is None]


def interactions():
    """A table of purchases with ratings; its items have the ids that the pages use."""
    frame = synthetic_interactions(num_users=60, num_items=60, num_tastes=3, mean_length=12)
    random = np.random.default_rng(0)
    names = {name: str(number) for number, name in enumerate(frame["item_id"].unique().sort(), start=1)}
    used = ["50", "181", "258", "100", "7"]
    names = {
        name: {str(number): one for number, one in enumerate(used, start=1)}.get(new, new)
        for name, new in names.items()
    }
    return frame.with_columns(
        pl.col("item_id").replace_strict(names),
        timestamp=START + DAY * pl.int_range(pl.len()) // 40,
        rating=pl.Series(random.integers(1, 6, len(frame))),
    )


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The files and the trained model that the pages name."""
    folder = tmp_path_factory.mktemp("documentation")
    log = interactions()
    ids = log["item_id"].unique().sort()
    items = pl.DataFrame({"item_id": ids, "title": [f"Title {id_}" for id_ in ids]}).with_columns(
        year=1980 + pl.int_range(pl.len()) % 40,
        genres=pl.Series([["Comedy|Drama", "Comedy", "Drama", "Thriller"][number % 4] for number in range(len(ids))]),
    )
    log.write_parquet(folder / "purchases.parquet")
    log.write_csv(folder / "purchases.csv")
    log.write_csv(folder / "ratings.csv")
    log.write_csv(folder / "today.csv")
    log.rename({"user_id": "customer", "item_id": "sku", "timestamp": "bought_at"}).write_parquet(
        folder / "shop.parquet"
    )
    items.write_csv(folder / "items.csv")
    items.select("item_id", "title").write_csv(folder / "titles.csv")
    new = {"item_id": ["n1", "n2"], "title": ["New", "Newer"], "year": [2024, 2025], "genres": ["Comedy", "Drama"]}
    pl.DataFrame({**new, "similar_to": ["50", "181|258"]}).write_csv(folder / "new-items.csv")
    log.select("user_id", "item_id")[::9].write_csv(folder / "pairs.csv")
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seqrec.train("purchases.csv", items="items.csv", output_dir="runs/shop", **TINY)
    return folder


@pytest.fixture
def place(world, tmp_path, monkeypatch):
    """A copy of the files, as the working directory."""
    shutil.copytree(world, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    for name in ("train", "tune"):
        plain = getattr(seqrec, name)
        monkeypatch.setattr(seqrec, name, shortened(plain))


def shortened(function):
    """Return a training function whose trainings are short."""

    def short(*args, **settings):
        settings = {name: value for name, value in settings.items() if name not in ("minutes", "num_train_epochs")}
        trials = {"trials": 1} if function.__name__ == "tune" else {}
        return function(*args, **{**settings, **trials, "max_steps": 2})

    return short


def run_shell(code):
    """Run the commands of a block that are ours; refuse others."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        assert words[0] == "seqrec", f"{line} is not run; mark its block, as in <!-- not run: needs a GPU -->"
        arguments = words[1:]
        if "--minutes" in arguments:
            place = arguments.index("--minutes")
            arguments[place : place + 2] = ["--trials", "1"]
        if arguments[0] in ("train", "tune"):
            arguments += SHORT
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = main(arguments)
        assert status == 0, f"{line}\n{errors.getvalue()}"


@pytest.mark.usefixtures("place")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page):
    names = {}
    for language, code in blocks_of(PAGES[page].read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(code, page, "exec"), names)
        elif language == "bash":
            run_shell(code)
        else:
            assert language in ("", "yaml", "json", "text"), f"{page} has a block of {language!r}"


def test_blocks_fit_the_page():
    for path in PAGES.values():
        long = [
            line
            for _, code in blocks_of(path.read_text(encoding="utf-8"))
            for line in code.splitlines()
            if len(line) > 80
        ]
        assert long == [], path
