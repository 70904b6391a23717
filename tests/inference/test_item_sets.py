"""Items that are looked up once, and conditions whose items are kept."""

import warnings

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from seqrec.errors import InputError
from seqrec.interactions import catalogue
from seqrec.interactions.catalogue import Catalogue
from seqrec.search import retriever

HISTORIES = [["item 5", "item 9"], ["item 1"], ["item 3"]]
LOG = pl.DataFrame(
    {"user_id": ["ann", "ann", "bob"], "item_id": ["item 5", "item 9", "item 1"], "timestamp": [1, 2, 3]}
)


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture(params=[1, 4096])
def long_list(request, monkeypatch):
    monkeypatch.setattr(retriever, "LONG_LIST", request.param)


@pytest.fixture
def some(recommender):
    return [f"item {item}" for item in range(4, 20)]


@pytest.mark.parametrize("option", ["allow", "deny"])
def test_a_set_does_as_the_list(recommender, some, option, long_list):
    known = recommender.item_set([*some, *some])
    assert len(known) == len(some)
    assert repr(known) == f"ItemSet({len(some)} items)"
    for history in (HISTORIES[0], HISTORIES):
        assert recommender.recommend(history, 30, **{option: known}) == recommender.recommend(
            history, 30, **{option: some}
        )
    lists = [known, some[:5], known]
    expected = recommender.recommend(HISTORIES, 30, **{option: [some, some[:5], some]})
    assert recommender.recommend(HISTORIES, 30, **{option: lists}) == expected
    frame = recommender.recommend_frame(LOG, 30, **{option: known})
    assert frame.equals(recommender.recommend_frame(LOG, 30, **{option: some}))
    seen = {one.item_id for one in recommender.recommend(HISTORIES[0], 30, **{option: known})}
    assert seen <= set(some) if option == "allow" else not seen & set(some)


def test_unknown_items_are_left_out_once(recommender, some):
    with pytest.warns(UserWarning, match=r"1 of 17 items in item_set are not in the vocabulary \(first: 'other'\)"):
        known = recommender.item_set([*some, "other"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recommender.recommend(["item 5"], 3, allow=known)


def test_sets_of_another_recommender_are_refused(recommender, tmp_path, some):
    recommender.save_pretrained(tmp_path)
    other = type(recommender).from_pretrained(tmp_path)
    for ask in (recommender.recommend, recommender.recommend_frame):
        source = ["item 5"] if ask == recommender.recommend else LOG
        with pytest.raises(InputError, match=r"The item set in deny was made by another recommender"):
            ask(source, 3, deny=other.item_set(some))
    known = recommender.item_set(some)
    recommender.hide_items(some[:3])  # the vocabulary stays
    assert {one.item_id for one in recommender.recommend(["item 1"], 30, allow=known)} == set(some[3:])
    recommender.add_items(pl.DataFrame({"item_id": ["new"], "similar_to": ["item 1"]}))
    with pytest.raises(InputError, match=r"or before items were added\. Make it again"):
        recommender.recommend(["item 5"], 3, allow=known)


def test_lists_for_each_history_are_counted(recommender, some):
    with pytest.raises(InputError, match="deny has 2 lists for 3 histories"):
        recommender.recommend(HISTORIES, 3, deny=[recommender.item_set(some), some])


def test_files_read_lists_that_can_be_read_once(recommender, some, tmp_path, monkeypatch):
    monkeypatch.setattr("seqrec.inference.recommend_file.ROWS_PER_PART", 1)
    LOG.write_parquet(tmp_path / "log.parquet")
    expected = recommender.recommend_frame(LOG, 5, deny=some)
    for number, deny in enumerate([some, iter(some), set(some), recommender.item_set(some), pl.Series(some)]):
        recommender.recommend_file(tmp_path / "log.parquet", tmp_path / f"{number}.parquet", 5, deny=deny)
        assert_frame_equal(pl.read_parquet(tmp_path / f"{number}.parquet"), expected)


def test_the_items_of_a_condition_are_found_once(recommender, monkeypatch):
    rows = pl.int_range(len(recommender.items), eager=True)
    recommender.set_items(Catalogue(recommender.items.frame.with_columns(year=1990 + rows)))
    asked, plain = [], catalogue.find_items

    def find_items(where, frame):
        asked.append(where)
        return plain(where, frame)

    monkeypatch.setattr(catalogue, "find_items", find_items)
    monkeypatch.setattr(catalogue, "KNOWN_CONDITIONS", 2)
    first = recommender.recommend(["item 5"], 5, where="year > 2000")
    assert recommender.recommend(["item 5"], 5, where="year > 2000") == first
    assert asked == ["year > 2000"]
    hidden = first[0].item_id
    recommender.hide_items([hidden])
    assert hidden not in {one.item_id for one in recommender.recommend(["item 5"], 5, where="year > 2000")}
    recommender.show_items([hidden])
    assert recommender.recommend(["item 5"], 5, where="year > 2000") == first
    recommender.add_items(pl.DataFrame({"item_id": ["new"], "year": [2024], "similar_to": [hidden]}))
    assert "new" in {one.item_id for one in recommender.recommend(["item 5"], 40, where="year > 2000")}
    for year in (2001, 2002, 2003):
        recommender.recommend(["item 5"], 5, where=f"year > {year}")
    assert list(recommender.items.known_conditions) == ["year > 2002", "year > 2003"]
    for _ in range(2):
        with pytest.raises(InputError, match="no column 'yaer'"):
            recommender.recommend(["item 5"], 5, where="yaer > 2000")
        with pytest.raises(InputError, match="must be a condition"):
            recommender.recommend(["item 5"], 5, where=3)
