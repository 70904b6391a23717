"""Recommend by raw item ids: the model, its vocabulary and its catalogue in one object.

Shape suffixes: B users, K list length, D hidden size, V vocabulary.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, overload

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from seqrec.evaluation.baselines import PopularityBaseline, counts_by_token
from seqrec.hub.model_card import save_model_card
from seqrec.hub.saved_folder import load_items, load_model, load_record, load_tokenizer, require_one_catalogue
from seqrec.hub.sharing import push_folder
from seqrec.hub.staging import staged
from seqrec.inference.recommendations import Recommendation, Recommendations
from seqrec.interactions.interactions import read_interactions
from seqrec.interactions.raw_ids import (
    ItemId,
    ItemIds,
    Unknown,
    encode_known,
    encode_lists,
    id_text,
    read_histories,
    read_ids,
)
from seqrec.interactions.request_options import require_list_length, require_switch
from seqrec.interactions.sequences import build_histories
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.devices import resolve_device
from seqrec.modeling.forked_workers import use_one_thread_after_forks
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.search.approximate_index import IndexName, build_index
from seqrec.search.best_items import Answerer, Index, best_items
from seqrec.search.exact_index import ExactIndex
from seqrec.search.finite import require_finite

AllowDeny = ItemIds | Iterable[ItemIds] | None


class Recommender:
    """Recommends items by their raw ids.

    Lists, tuples, NumPy arrays, Series and columns of pandas, polars and pyarrow, and iterators hold ids alike; for
    `allow` and `deny`, sets too.

    It can be made before a server forks its workers (gunicorn with `--preload`, celery, `multiprocessing`): they
    then compute with one thread each. `recommend_frame` works there unless the parent process has used polars, as
    `recommend_frame` does, before the fork.

    Args:
        model: A next-item model.
        tokenizer: Its vocabulary of items.
        items: Its catalogue in token order: `item_id`, `count` (training interactions), perhaps `title`.
        index: How the catalogue is searched: `"exact"`, or `"ivf"` or `"hnsw"` for catalogues beyond a million
            items, which may miss an item now and then (extra `[index]`). It is prepared here: after training the
            model on, or moving it, make a new `Recommender`.
        record: What its training told of itself, to be saved along: the content of `metrics.json` and of
            `training_curve.png`, by these names. Leave it out for a model that was trained on since.

    Raises:
        ValueError: If the three are not of the same catalogue, the item vectors are not finite, or there is no such
            index.
        ImportError: If the index needs faiss and that is not installed.

    Example:
        >>> recommender = Recommender.from_pretrained("runs/ml-100k")  # doctest: +SKIP
        >>> recommender.recommend(["50", "181", "258"], k=10)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: NextItemHead,
        tokenizer: ItemTokenizer,
        items: pl.DataFrame,
        *,
        index: IndexName = "exact",
        record: Mapping[str, bytes] | None = None,
    ) -> None:
        require_one_catalogue(model.config.vocab_size, tokenizer, items)
        use_one_thread_after_forks()
        self.model = model.eval()
        self.index_name = index
        self.record = dict(record or {})
        self.tokenizer = tokenizer
        self.items = items
        self.first_item = len(tokenizer) - len(items)
        self.answerer = Answerer(model, build_index(index, require_finite(model.encode_items(), what="Item vectors")))
        popularity = PopularityBaseline(counts_by_token(items, len(tokenizer)))
        self.popularity = Answerer(popularity, ExactIndex(popularity.encode_items().to(model.device)))
        self.item_ids = tokenizer.item_ids
        self.titles = items["title"].to_list() if "title" in items.columns else [None] * len(items)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        device: str | torch.device = "auto",
        index: IndexName = "exact",
        **kwargs: Any,
    ) -> Self:
        """Load a folder written by `seqrec train` or `save_pretrained`, or a repository of the Hub.

        Args:
            name_or_path: Folder, or `"org/name"` on the Hub.
            device: Where the model shall run: `"auto"` for CUDA, MPS or else the CPU, or a device by name. For
                workers to be forked, choose `"cpu"`: CUDA cannot be used in them.
            index: How the catalogue is searched; see `Recommender`.
            **kwargs: Where and how to look, as in `transformers`: `revision`, `token`, `cache_dir`, …

        Raises:
            ValueError: If a part of the model is missing there or broken, the parts are not of one catalogue, the
                weights are a pickle, the Hub refuses or cannot be reached, or there is no such device.
        """
        name, found_device = str(name_or_path), resolve_device(device)
        model = load_model(name, **kwargs).to(found_device)
        tokenizer, items = load_tokenizer(name, **kwargs), load_items(name, **kwargs)
        return cls(model, tokenizer, items, index=index, record=load_record(name, **kwargs))

    def save_pretrained(self, folder: str | Path, *, repo_id: str | None = None) -> None:
        """Write everything that `from_pretrained` needs, here or where `seqrec` is not installed, and the card.

        It replaces a model that lies there, with its metrics and training curve, as a whole or not at all.

        Args:
            folder: Where.
            repo_id: The repository that the card shall name, if it is to be pushed to one.

        Raises:
            ValueError: If `folder` is a file, or the record broken.
        """
        with staged(folder) as stage:
            self.model.save_pretrained(stage)
            self.tokenizer.save_pretrained(stage)
            columns = {column.name: column.to_arrow() for column in self.items.get_columns()}  # without polars' threads
            pq.write_table(pa.table(columns), stage / "items.parquet", compression="zstd")
            for file_name, content in self.record.items():
                (stage / file_name).write_bytes(content)
            save_model_card(stage, repo_id=repo_id)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str | None = None,
    ) -> str:
        """Share it on the Hub, with its card; arguments as of `push_folder`.

        Returns:
            Address of the repository, branch or pull request.

        Raises:
            ValueError: If the Hub refuses, or cannot be reached.
        """
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, repo_id=repo_id)
            return push_folder(
                folder,
                repo_id,
                private=private,
                token=token,
                revision=revision,
                create_pr=create_pr,
                commit_message=commit_message,
            )

    @overload
    def recommend(  # type: ignore[overload-overlap]  # an id is a str, and a str a sequence
        self,
        history: ItemIds,
        k: int = ...,
        *,
        exclude_seen: bool = ...,
        allow: AllowDeny = ...,
        deny: AllowDeny = ...,
        unknown: Unknown = ...,
    ) -> Recommendations: ...

    @overload
    def recommend(
        self,
        history: Iterable[ItemIds],
        k: int = ...,
        *,
        exclude_seen: bool = ...,
        allow: AllowDeny = ...,
        deny: AllowDeny = ...,
        unknown: Unknown = ...,
    ) -> list[Recommendations]: ...

    def recommend(
        self,
        history: ItemIds | Iterable[ItemIds],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        allow: AllowDeny = None,
        deny: AllowDeny = None,
        unknown: Unknown = "skip",
    ) -> Recommendations | list[Recommendations]:
        """Recommend the items a user will most likely want next.

        Args:
            history: Raw ids of what one user did, oldest first; or a list of such histories. A list of nothing is one
                empty history.
            k: How many items to recommend; fewer come back where fewer may be recommended.
            exclude_seen: Whether to leave out what is in the history.
            allow: The only ids that may be recommended: one list for all, or one for each history. A list of nothing
                allows nothing.
            deny: Ids that may not be recommended, likewise.
            unknown: What to do about ids in a history that the model does not know: leave them out with a
                warning (`"skip"`), or raise (`"error"`).

        Returns:
            `Recommendations` (a list of `Recommendation`, best first) for one history; a list of them for
            several.

        Raises:
            ValueError: On what is no history or could be read in more than one way, a k that is less than 1 or more
                than the catalogue, scores that are not finite, or, with `unknown="error"`, an unknown item.
        """
        histories, is_single = read_histories(history)
        encoded = [
            encode_known(names, self.tokenizer.look_up, where="this history", unknown=unknown) for names in histories
        ]
        known = [token_ids for token_ids, _ in encoded]
        scores_BK, token_ids_BK = self.answer(known, k, exclude_seen=exclude_seen, allow=allow, deny=deny)
        found = [
            Recommendations(self.describe(scores_K, ids_K), unknown_items=missing, is_popularity=len(token_ids) == 0)
            for scores_K, ids_K, (token_ids, missing) in zip(scores_BK, token_ids_BK, encoded, strict=True)
        ]
        return found[0] if is_single else found

    def recommend_frame(
        self,
        frame: Any,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        allow: ItemIds | None = None,
        deny: ItemIds | None = None,
        unknown: Unknown = "skip",
        columns: Mapping[str, str] | None = None,
    ) -> pl.DataFrame:
        """Recommend for every user of a table of interactions.

        Args:
            frame: A file or frame with `user_id`, `item_id`, `timestamp`, as `read_interactions` takes it.
            k: How many items for each user.
            exclude_seen: Whether to leave out what the user's rows hold.
            allow: The only ids that may be recommended.
            deny: Ids that may not be recommended.
            unknown: As in `recommend`.
            columns: Other names of the table's columns, as `{"user_id": "uid"}`.

        Returns:
            `user_id`, `rank` (from 1), `item_id`, `score`, ordered by user and rank; user ids are of the table's
            own type, item ids are text. Users without a known item get the most popular ones.

        Raises:
            ValueError: On a table that cannot be read, and as `recommend` raises it.
            RuntimeError: In a process forked from one that had used polars already.
        """
        k = self.check_k(k)
        allow = None if allow is None else read_ids(allow, where="allow", ordered=False)
        deny = None if deny is None else read_ids(deny, where="deny", ordered=False)
        interactions = read_interactions(frame, columns=columns, for_training=False)
        encode_known(
            read_ids(interactions["item_id"].unique(maintain_order=True), where="the table"),
            self.tokenizer.look_up,
            where="the table",
            unknown=unknown,
        )
        histories = build_histories(interactions, self.tokenizer).with_format("numpy")
        known = [token_ids[token_ids != self.tokenizer.unk_token_id] for token_ids in histories["input_ids"]]
        scores_BK, token_ids_BK = self.answer(known, k, exclude_seen=exclude_seen, allow=allow, deny=deny)
        num_without = int((token_ids_BK == 0).all(axis=1).sum())
        if num_without:
            warnings.warn(
                f"No item is left to recommend to {num_without} of {len(known)} users, who have no row in the result.",
                stacklevel=2,
            )
        rows, places = np.nonzero(token_ids_BK)
        return pl.DataFrame(
            {
                "user_id": pl.Series(np.asarray(histories["user_id"])[rows], dtype=interactions["user_id"].dtype),
                "rank": places + 1,
                "item_id": self.tokenizer.decode_item_ids(token_ids_BK[rows, places]),
                "score": scores_BK[rows, places],
            }
        )

    def name_item(self, item_id: ItemId) -> str:
        """Return an item's title, or its id where it has none."""
        name = id_text(item_id, "name_item")
        (token_id,) = self.tokenizer.look_up([name])
        title = self.titles[token_id - self.first_item] if token_id >= self.first_item else None
        return title or name

    def similar_items(self, item_id: ItemId, k: int = 10) -> Recommendations:
        """List the items whose vectors point most nearly the same way: cosine similarity as the score.

        Raises:
            ValueError: If the item is unknown or no id, k is out of range, or item vectors are not finite.
        """
        k = self.check_k(k)
        name = id_text(item_id, "similar_items")
        token_ids, _ = encode_known([name], self.tokenizer.look_up, where="similar_items", unknown="error")
        item_1 = torch.as_tensor(token_ids, device=self.model.device)
        vector_1D = require_finite(self.model.encode_items().detach()[item_1].float(), what="Item vectors")
        direction_1D = torch.nn.functional.normalize(vector_1D)
        scores_1K, token_ids_1K = self.directions.search(direction_1D, k, excluded_BS=item_1[None])
        return Recommendations(self.describe(scores_1K[0].numpy(force=True), token_ids_1K[0].numpy(force=True)))

    @cached_property
    def directions(self) -> Index:
        """Return the item vectors at length 1, prepared when first asked for."""
        vectors_VD = require_finite(self.model.encode_items().detach().float(), what="Item vectors")
        return build_index(self.index_name, torch.nn.functional.normalize(vectors_VD))

    def answer(
        self, known: Sequence[np.ndarray], k: int, *, exclude_seen: bool, allow: AllowDeny, deny: AllowDeny
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the best items for histories of token ids; see `best_items`."""
        k = self.check_k(k)
        exclude_seen = require_switch(exclude_seen, name="exclude_seen")
        num_empty = sum(len(token_ids) == 0 for token_ids in known)
        if num_empty:
            warnings.warn(
                f"{num_empty} of {len(known)} histories hold no known item; "
                "the most popular items are recommended for them.",
                stacklevel=3,
            )
        return best_items(
            self.answerer,
            self.popularity,
            known,
            k,
            max_length=self.model.config.max_history_length,
            exclude_seen=exclude_seen,
            allowed=encode_lists(allow, len(known), self.tokenizer.look_up, where="allow"),
            denied=encode_lists(deny, len(known), self.tokenizer.look_up, where="deny"),
        )

    def describe(self, scores_K: np.ndarray, token_ids_K: np.ndarray) -> list[Recommendation]:
        """Turn one user's scores and token ids into recommendations, without the empty places."""
        return [
            Recommendation(self.item_ids[token_id - self.first_item], score, self.titles[token_id - self.first_item])
            for score, token_id in zip(scores_K.tolist(), token_ids_K.tolist(), strict=True)
            if token_id > 0
        ]

    def check_k(self, k: int) -> int:
        """Raise a `ValueError` if k is no whole number, less than 1 or more than the catalogue holds."""
        return require_list_length(k, len(self.items))
