"""Recommending only items whose columns meet a condition."""

import polars as pl
import pytest

from seqrec.cli.command_line import main
from seqrec.errors import InputError
from seqrec.interactions.catalogue import Catalogue

HISTORIES = [["item 5", "item 9"], ["item 1"]]
WHERE = "year >= 2000 and 'Drama' in genres"


@pytest.fixture
def recommender(recommender):
    rows = pl.int_range(len(recommender.items), eager=True)
    genres = pl.Series(["Comedy|Drama" if row % 3 == 0 else "Comedy" for row in rows])
    recommender.set_items(Catalogue(recommender.items.frame.with_columns(year=1990 + rows, genres=genres)))
    return recommender


def meeting(recommender):
    frame = recommender.items.frame
    return set(frame.filter((pl.col("year") >= 2000) & pl.col("genres").str.contains("Drama"))["item_id"])


def test_lists_are_the_full_ones_without_the_other_items(recommender):
    met = meeting(recommender)
    full = recommender.recommend(HISTORIES, len(recommender.items))
    assert 3 < len(met) < 30
    for found, all_items in zip(recommender.recommend(HISTORIES, len(met), where=WHERE), full, strict=True):
        assert list(found) == [one for one in all_items if one.item_id in met]


def test_it_joins_allow_deny_and_lists_of_each_history(recommender):
    one, other, *_ = sorted(meeting(recommender))
    allow = [one, other, "item 1", "item 2"]
    assert {found.item_id for found in recommender.recommend(["item 7"], 4, where=WHERE, allow=allow)} == {one, other}
    assert [found.item_id for found in recommender.recommend(["item 7"], 4, where=WHERE, allow=allow, deny=[one])] == [
        other
    ]
    lists = recommender.recommend([["item 7"], ["item 7"]], 4, where=WHERE, allow=[[one], [other]])
    assert [[found.item_id for found in found] for found in lists] == [[one], [other]]


def test_no_item_may_meet_it(recommender):
    assert recommender.recommend(["item 5"], 4, where="year > 9999") == []


def test_tables_are_filtered_too(recommender):
    log = pl.DataFrame(
        {"user_id": ["ann", "ann", "bob"], "item_id": ["item 5", "item 9", "item 1"], "timestamp": [1, 2, 3]}
    )
    found = recommender.recommend_frame(log, 4, where=WHERE)
    expected = [one.item_id for lists in recommender.recommend(HISTORIES, 4, where=WHERE) for one in lists]
    assert found["item_id"].to_list() == expected


def test_the_command_filters_and_points_at_mistakes(recommender, tmp_path, capsys):
    recommender.save_pretrained(tmp_path / "model")
    command = ["recommend", "--model", str(tmp_path / "model"), "--history", "item 5"]
    assert main([*command, "--where", "year == 2003", "--k", "3"]) == 0
    (item_id,) = recommender.items.frame.filter(pl.col("year") == 2003)["item_id"]
    assert item_id in capsys.readouterr().out
    assert main([*command, "--where", "yaer == 2003"]) == 2
    assert "--where cannot be read at character 1 ('yaer == 2003')" in capsys.readouterr().err


def test_conditions_on_missing_columns_are_refused(recommender):
    with pytest.raises(InputError, match=r"no column 'brand'; they have .*year, genres"):
        recommender.recommend(["item 5"], where="brand == 'x'")
