"""Recommend by raw item ids: the model, its vocabulary and its catalogue in one object.

Shape suffixes: B users, K list length, D hidden size, V vocabulary.
"""

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, overload

import numpy as np
import polars as pl
import torch

from seqrec.data.interactions import read_interactions
from seqrec.data.raw_ids import ItemId, Unknown, encode_known, encode_lists, is_item_id
from seqrec.data.sequences import build_histories
from seqrec.data.tokenization_items import ItemTokenizer
from seqrec.evaluation.baselines import PopularityBaseline, counts_by_token
from seqrec.hub.model_card import save_model_card
from seqrec.hub.saved_folder import load_items, load_model, load_record, load_tokenizer, require_one_catalogue
from seqrec.hub.sharing import push_folder
from seqrec.inference.index import IndexName, build_index
from seqrec.inference.recommendations import Recommendation, Recommendations
from seqrec.modeling.best_items import Answerer, Index, best_items
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.retrieval import ExactIndex

History = Sequence[ItemId]
AllowDeny = Sequence[ItemId] | Sequence[Sequence[ItemId]] | None


class Recommender:
    """Recommends items by their raw ids.

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
        ValueError: If the three are not of the same catalogue, or there is no such index.
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
        self.model = model.eval()
        self.index_name = index
        self.record = dict(record or {})
        self.tokenizer = tokenizer
        self.items = items
        self.first_item = len(tokenizer) - len(items)
        self.answerer = Answerer(model, build_index(index, model.encode_items()))
        popularity = PopularityBaseline(counts_by_token(items, len(tokenizer)))
        self.popularity = Answerer(popularity, ExactIndex(popularity.encode_items().to(model.device)))
        self.item_ids = tokenizer.item_ids
        self.titles = items["title"].to_list() if "title" in items.columns else [None] * len(items)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        device: str | torch.device | None = None,
        index: IndexName = "exact",
        **kwargs: Any,
    ) -> Self:
        """Load a folder written by `seqrec train` or `save_pretrained`, or a repository of the Hub.

        Args:
            name_or_path: Folder, or `"org/name"` on the Hub.
            device: Where the model shall run; the CPU if None.
            index: How the catalogue is searched; see `Recommender`.
            **kwargs: Where and how to look, as in `transformers`: `revision`, `token`, `cache_dir`, …

        Raises:
            ValueError: If a part of the model is missing there or broken, the parts are not of one catalogue, the
                weights are a pickle, or the Hub refuses or cannot be reached.
        """
        name = str(name_or_path)
        model = load_model(name, **kwargs).to(device or "cpu")
        tokenizer, items = load_tokenizer(name, **kwargs), load_items(name, **kwargs)
        return cls(model, tokenizer, items, index=index, record=load_record(name, **kwargs))

    def save_pretrained(self, folder: str | Path, *, repo_id: str | None = None) -> None:
        """Write everything that `from_pretrained` needs, here or where `seqrec` is not installed, and the card.

        Args:
            folder: Where.
            repo_id: The repository that the card shall name, if it is to be pushed to one.
        """
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self.items.write_parquet(Path(folder) / "items.parquet")
        for file_name, content in self.record.items():
            (Path(folder) / file_name).write_bytes(content)
        save_model_card(folder, repo_id=repo_id)

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
        history: History,
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
        history: Sequence[History],
        k: int = ...,
        *,
        exclude_seen: bool = ...,
        allow: AllowDeny = ...,
        deny: AllowDeny = ...,
        unknown: Unknown = ...,
    ) -> list[Recommendations]: ...

    def recommend(
        self,
        history: History | Sequence[History],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        allow: AllowDeny = None,
        deny: AllowDeny = None,
        unknown: Unknown = "skip",
    ) -> Recommendations | list[Recommendations]:
        """Recommend the items a user will most likely want next.

        Args:
            history: Raw ids of what one user did, oldest first; or a list of such histories.
            k: How many items to recommend; fewer come back where fewer may be recommended.
            exclude_seen: Whether to leave out what is in the history.
            allow: The only ids that may be recommended: one list for all, or one for each history.
            deny: Ids that may not be recommended, likewise.
            unknown: What to do about ids in a history that the model does not know: leave them out with a
                warning (`"skip"`), or raise (`"error"`).

        Returns:
            `Recommendations` (a list of `Recommendation`, best first) for one history; a list of them for
            several.

        Raises:
            ValueError: On a history that is no list, a k that is less than 1 or more than the catalogue, or,
                with `unknown="error"`, an unknown item.
        """
        if isinstance(history, str) or not isinstance(history, Sequence):
            raise ValueError(f"A history is a list of item ids, oldest first, but {history!r} was given.")
        is_single = not history or is_item_id(history[0])
        histories: Sequence[Any] = [history] if is_single else history
        encoded = [
            encode_known(one, self.tokenizer.encode_item_ids, where="this history", unknown=unknown)
            for one in histories
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
        allow: Sequence[ItemId] | None = None,
        deny: Sequence[ItemId] | None = None,
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
        """
        interactions = read_interactions(frame, columns=columns, for_training=False)
        encode_known(
            interactions["item_id"].unique(maintain_order=True).to_list(),
            self.tokenizer.encode_item_ids,
            where="the table",
            unknown=unknown,
        )
        histories = build_histories(interactions, self.tokenizer).with_format("numpy")
        known = [token_ids[token_ids != self.tokenizer.unk_token_id] for token_ids in histories["input_ids"]]
        scores_BK, token_ids_BK = self.answer(known, k, exclude_seen=exclude_seen, allow=allow, deny=deny)
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
        (token_id,) = self.tokenizer.encode_item_ids([str(item_id)])
        title = self.titles[token_id - self.first_item] if token_id >= self.first_item else None
        return title or str(item_id)

    def similar_items(self, item_id: ItemId, k: int = 10) -> Recommendations:
        """List the items whose vectors point most nearly the same way: cosine similarity as the score.

        Raises:
            ValueError: If the item is unknown, or k is out of range.
        """
        self.check_k(k)
        token_ids, _ = encode_known([item_id], self.tokenizer.encode_item_ids, where="similar_items", unknown="error")
        item_1 = torch.as_tensor(token_ids, device=self.model.device)
        direction_1D = torch.nn.functional.normalize(self.model.encode_items().detach()[item_1].float())
        scores_1K, token_ids_1K = self.directions.search(direction_1D, k, excluded_BS=item_1[None])
        return Recommendations(self.describe(scores_1K[0].numpy(force=True), token_ids_1K[0].numpy(force=True)))

    @cached_property
    def directions(self) -> Index:
        """Return the item vectors at length 1, prepared when first asked for."""
        return build_index(self.index_name, torch.nn.functional.normalize(self.model.encode_items().detach().float()))

    def answer(
        self, known: Sequence[np.ndarray], k: int, *, exclude_seen: bool, allow: AllowDeny, deny: AllowDeny
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the best items for histories of token ids; see `best_items`."""
        self.check_k(k)
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
            allowed=encode_lists(allow, len(known), self.tokenizer.encode_item_ids, where="allow"),
            denied=encode_lists(deny, len(known), self.tokenizer.encode_item_ids, where="deny"),
        )

    def describe(self, scores_K: np.ndarray, token_ids_K: np.ndarray) -> list[Recommendation]:
        """Turn one user's scores and token ids into recommendations, without the empty places."""
        return [
            Recommendation(self.item_ids[token_id - self.first_item], score, self.titles[token_id - self.first_item])
            for score, token_id in zip(scores_K.tolist(), token_ids_K.tolist(), strict=True)
            if token_id > 0
        ]

    def check_k(self, k: int) -> None:
        """Raise a `ValueError` if k is less than 1 or more than the catalogue holds."""
        if not 1 <= k <= len(self.items):
            raise ValueError(
                f"k={k} recommendations were asked for; ask for 1 to {len(self.items)} (the whole catalogue)."
            )
