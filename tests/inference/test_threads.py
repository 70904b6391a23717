"""Loading and recommending in many threads at once gives the same results as in one."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from seqrec import Recommender

HISTORIES = [[f"item {start}", f"item {start + 7}", f"item {start + 3}"] for start in range(24)]
NUM_THREADS = 8


@pytest.fixture
def model_type():
    return "sasrec"


def answers(recommender, history):
    return recommender.recommend(history, k=5), recommender.similar_items(history[0], k=5)


@pytest.mark.filterwarnings("ignore:.*not in the vocabulary")
def test_many_threads_ask_one_recommender(recommender):
    expected = [answers(recommender, history) for history in HISTORIES]
    fresh = Recommender(recommender.model, recommender.tokenizer, recommender.items)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        assert list(pool.map(lambda history: answers(fresh, history), HISTORIES)) == expected


def test_many_threads_load_at_once(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    expected = answers(recommender, HISTORIES[0])
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        loaded = pool.map(lambda _: Recommender.from_pretrained(tmp_path), range(3 * NUM_THREADS))
        assert [answers(one, HISTORIES[0]) for one in loaded] == [expected] * 3 * NUM_THREADS
