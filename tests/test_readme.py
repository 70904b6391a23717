"""The first lines of Python in README.md give the output printed there."""

import ast
import re
from pathlib import Path

import pandas as pd
import pytest

from seqrec.interactions.sources import load_interactions

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"(?P<place>\d) +(?P<item_id>\d+) +(?P<score>\d+\.\d+) +(?P<title>\S.*)")


@pytest.fixture(scope="module")
def block():
    """The first block of Python, and the output printed below it."""
    found = re.search(r"```python\n(?P<code>.*?)```\n\n```\n(?P<output>.*?)```", README, re.DOTALL)
    assert found is not None
    assert README.index("```python") == found.start()
    return found


@pytest.fixture
def _tables(tmp_path, monkeypatch):
    """MovieLens 100K in the files, and by the column names, of the README."""
    data = load_interactions("ml-100k")
    names = {"user_id": "userId", "item_id": "movieId", "timestamp": "ts"}
    data.interactions.rename(names).write_csv(tmp_path / "ratings.csv")
    data.items.rename({"item_id": "movieId"}).write_csv(tmp_path / "movies.csv")
    monkeypatch.chdir(tmp_path)


def read_rows(output):
    """Read a printed table: item id → score and title, best first."""
    matches = [ROW.fullmatch(line) for line in output.splitlines()[1:]]
    assert [match["place"] for match in matches] == list("0123456789")
    return {match["item_id"]: (float(match["score"]), match["title"]) for match in matches}


def test_it_takes_two_imports_and_three_statements(block):
    statements = ast.parse(block["code"]).body
    imports = [one for one in statements if isinstance(one, ast.Import | ast.ImportFrom)]
    assert (len(imports), len(statements) - len(imports)) == (2, 3)


@pytest.mark.usefixtures("_tables")
def test_it_prints_this_output(block, capsys):
    with pd.option_context("display.width", 80):
        exec(compile(block["code"], "README.md", "exec"), {})
    output = capsys.readouterr().out
    printed, expected = read_rows(output), read_rows(block["output"])
    assert output.splitlines()[0].split() == block["output"].splitlines()[0].split()
    common = printed.keys() & expected.keys()
    assert len(common) >= 8  # other processors and versions of torch round differently, which training amplifies
    assert [printed[item_id][1] for item_id in common] == [expected[item_id][1] for item_id in common]
    scores = {item_id: expected[item_id][0] for item_id in common}
    assert {item_id: printed[item_id][0] for item_id in common} == pytest.approx(scores, abs=0.2)


def test_its_blocks_fit_the_page():
    blocks = re.findall(r"```\w*\n(.*?)```", README, re.DOTALL)
    assert len(blocks) > 5
    assert [line for block in blocks for line in block.splitlines() if len(line) > 88] == []
