"""The table of ranks names each row's user and target, and its means are the metrics."""

import numpy as np
import polars as pl
import pytest

from seqrec.errors import InputError
from seqrec.evaluation.evaluator import Ranking, rank_dataset
from seqrec.evaluation.rank_tables import ranks_table
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.search.scoring import NOT_RANKED

HISTORIES = [[3, 4, 5], [6], [7, 8], [9, 10, 11, 12]]


def rows(targets, **others):
    return Histories.from_lists({"input_ids": HISTORIES}, {"target": targets, **others})


@pytest.mark.parametrize("users", [["ann", "bob", "ann", "äöü"], [4, 5, 4, 9]])
def test_rows_are_those_that_were_ranked(users, tiny_model, items):
    held_out = rows([6, 3, 30, 9], user_id=users)
    ranking = rank_dataset(tiny_model, held_out, max_length=8)
    found = ranks_table(ranking, held_out, Catalogue.of(items))
    assert found.columns == ["user_id", "item_id", "rank"]
    assert found["user_id"].to_list() == users
    assert found["item_id"].to_list() == [items["item_id"][target - 3] for target in (6, 3, 30, 9)]
    assert found["rank"].dtype == pl.Int64
    assert found["rank"].to_list() == ranking.ranks_U.tolist()
    assert found["rank"][3] == NOT_RANKED  # in its history
    for k in (1, 5, 10):
        metrics = ranking.metrics(Catalogue.of(items).counts_by_token, (k,))
        assert (found["rank"] <= k).mean() == metrics[f"hr@{k}"]
        gains = np.where(found["rank"] <= k, 1 / np.log2(1 + found["rank"].to_numpy()), 0)
        assert gains.mean() == pytest.approx(metrics[f"ndcg@{k}"], abs=1e-12)


def test_unknown_users_have_no_column_and_unknown_items_no_id(items):
    found = ranks_table(
        Ranking(np.array([2, 1, NOT_RANKED, 4]), np.zeros((4, 0))), rows([5, 4, 2, 3]), Catalogue.of(items)
    )
    assert found.columns == ["item_id", "rank"]
    assert found["item_id"].to_list() == [items["item_id"][2], items["item_id"][1], None, items["item_id"][0]]


def test_other_rows_are_refused(items):
    with pytest.raises(InputError, match="There are 2 ranks for 4 rows"):
        ranks_table(Ranking(np.array([1, 2]), np.zeros((2, 0))), rows([5, 4, 2, 3]), Catalogue.of(items))
