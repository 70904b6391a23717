"""Items are found by title as a naive search would find them, and fast."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrec.inference.demo import item_search
from seqrec.inference.demo.item_search import ItemSearch, fold

NAMES = st.lists(st.text(alphabet="aAb1éÉ -'\n·ß", max_size=8), min_size=1, max_size=12)
QUERIES = st.text(alphabet="aAbé1 -", max_size=5)


def search_of(names, order=None, ids=()):
    order = np.arange(len(names)) if order is None else np.asarray(order)
    return ItemSearch(names, order, lambda name: ids.index(name) if name in ids else None)


def naive(names, order, query, limit):
    """Look at each title in turn, and sort by the kind of the match."""
    words = fold(query).split()
    text = " ".join(words)
    if not query.strip():
        return list(order[:limit])
    found = []
    for row in order:
        line = f" {' '.join(fold(names[row].replace(chr(10), ' ')).split())} "
        kinds = [line == f" {text} ", line.startswith(f" {text}"), f" {text}" in line, text in line]
        kinds.append(all(word in line for word in words))
        if words and any(kinds):
            found.append((kinds.index(True), row))
    return [row for _, row in sorted(found, key=lambda one: one[0])][:limit]


@pytest.mark.parametrize("most_ranked", [1000, 2])
@given(names=NAMES, query=QUERIES, limit=st.integers(1, 6), data=st.data())
def test_the_best_matches_are_those_of_a_naive_search(most_ranked, names, query, limit, data):
    order = data.draw(st.permutations(range(len(names))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_search, "MOST_RANKED", most_ranked)
        found = search_of(names, order).find(query, limit)
    assert found == naive(names, order, query, limit)


def test_kinds_of_matches_have_an_order():
    names = ["The Wars of a Star", "Superstar Wars", "A Star Wars Story", "Star Wars: A New Hope", "star wars", "Alien"]
    assert search_of(names).find("STAR-WARS") == [4, 3, 2, 1, 0]
    assert search_of(names).find("st") == [3, 4, 0, 2, 1]
    assert search_of(names).find("star wars", limit=2) == [4, 3]
    assert search_of(names).find("nothing") == search_of(names).find("!") == []


def test_accents_and_case_do_not_matter():
    names = ["Amélie", "Straße", "Ольга", "東京物語"]
    found = {query: search_of(names).find(query) for query in ("amelie", "AMÉLIE", "strasse", "ОЛЬ", "京")}
    assert found == {"amelie": [0], "AMÉLIE": [0], "strasse": [1], "ОЛЬ": [2], "京": [3]}


def test_an_item_with_this_id_is_first():
    names = ["50 First Dates", "Star Wars"]
    assert search_of(names, ids=["7", "50"]).find(" 50 ") == [1, 0]


def test_nothing_typed_finds_popular_items():
    assert search_of(["a", "b", "c"], order=[2, 0, 1]).find("  ", limit=2) == [2, 0]


def test_a_hundred_thousand_titles_are_searched_in_milliseconds():
    names = [f"Item {number:06d} of the {('red', 'blue')[number % 2]} kind" for number in range(100_000)]
    search = search_of(names)
    for query in ("i", "the", "099999", "kind 099998 blue", "kind the", "not here", "099999 not"):
        start = time.perf_counter()
        search.find(query)
        assert time.perf_counter() - start < 0.25  # a few milliseconds, on a machine with nothing else to do
    assert search.find("099999") == [99_999]
    assert search.find("red 099998") == [99_998]
