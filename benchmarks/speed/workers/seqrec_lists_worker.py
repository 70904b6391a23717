"""Measures diverse lists of this library: single requests, and all users of a table."""

import time
from functools import partial

import numpy as np
import polars as pl
from protocol import Channel, Message, serve, serve_turns, timed_requests
from seqrec_items import item_table
from seqrec_worker import build_model

from seqrec import Recommender
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.tokenization_items import ItemTokenizer


def answer_requests(request: Message, channel: Channel) -> None:
    """Recommend ten items for one history of raw ids at a time."""
    recommender, _ = make_recommender(request)
    rng, length = np.random.default_rng(42), request["settings"]["history_length"]
    histories = [rng.choice(recommender.item_ids, length, replace=False).tolist() for _ in range(100)]
    answer = partial(recommender.recommend, k=10, **request["settings"]["lists"])
    serve_turns(channel, timed_requests(answer, histories))


def answer_tables(request: Message, channel: Channel) -> None:
    """Recommend ten items for every user of the table; units are users."""
    recommender, table = make_recommender(request)
    num_users = table["user_id"].n_unique()

    def run(count: int) -> Message:
        start = time.process_time()
        for _ in range(count):
            recommender.recommend_frame(table, k=10, **request["settings"]["lists"])
        return {"units": count * num_users, "cpu_seconds": time.process_time() - start}

    serve_turns(channel, run)


def make_recommender(request: Message) -> tuple[Recommender, pl.DataFrame]:
    """Make a recommender with an untrained model and the items' genres; also return the interactions."""
    table = pl.read_parquet(request["data"]).select("user_id", "item_id", "timestamp")
    tokenizer = ItemTokenizer.from_interactions(table)
    items = item_table("ml-1m", ["genres"], tokenizer.item_series)
    catalogue = Catalogue.from_interactions(table, tokenizer, items.select("item_id", "genres"))
    return Recommender(build_model(len(tokenizer), request["settings"]), tokenizer, catalogue), table


if __name__ == "__main__":
    serve({"request": answer_requests, "frame": answer_tables})
