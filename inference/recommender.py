"""Recommend by raw item ids: the model, its vocabulary and its catalogue in one object.

Shape suffixes: R histories, K list length, D hidden size, V vocabulary.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, overload

import numpy as np
import polars as pl
import torch

from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.json_objects import parse_json_object
from seqrec.hub.model_card import METRICS, save_model_card
from seqrec.hub.saved_catalogue import save_catalogue
from seqrec.hub.saved_folder import load_record, load_saved, require_one_catalogue
from seqrec.hub.sharing import push_folder
from seqrec.hub.staging import staged
from seqrec.inference.hidden_items import hide, show
from seqrec.inference.label_predictor import LabelPredictor
from seqrec.inference.new_catalogue import over_catalogue
from seqrec.inference.new_items import grow, require_features_of
from seqrec.inference.recommendations import Recommendations, describe
from seqrec.inference.training_record import save_record, with_added_items
from seqrec.inference.user_tables import read_user_table, user_lists
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.column_names import remembered_columns
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.raw_ids import ItemId, ItemIds, Unknown, encode_lists, id_text, look_up, read_ids
from seqrec.interactions.request_options import require_list_length, require_switch
from seqrec.interactions.request_reading import AllowDeny, read_requests, warn_of_empty
from seqrec.interactions.timed_requests import Unsorted
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.devices import resolve_device
from seqrec.modeling.forked_workers import use_one_thread_after_forks
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.serving import make_retriever
from seqrec.search.approximate_index import build_index
from seqrec.search.finite import require_finite
from seqrec.search.index_names import IndexName
from seqrec.search.interfaces import Index
from seqrec.search.reranking import Reranker, make_reranker
from seqrec.search.retriever import Retriever

__all__ = ["Recommender"]

BY_POPULARITY = "the most popular items are recommended for them"


class Recommender(LabelPredictor):
    """Recommend items by their raw ids.

    Ids can be in a list, tuple, NumPy array, iterator, or a Series or column of pandas, polars or pyarrow; for `allow`
    and `deny`, also in a set.

    A `Recommender` can be created before a server forks its workers (gunicorn with `--preload`, celery,
    `multiprocessing`): each worker then computes with one thread. `recommend_frame` works in workers unless the parent
    process used polars before the fork, which includes calling `recommend_frame`.

    Args:
        model: A next-item model.
        tokenizer: Its vocabulary of items.
        items: Its catalogue, a `Catalogue` or a table in token order: `item_id`, `count` (training interactions),
            optionally `title` and `hidden` (whether an item is never recommended).
        index: How the catalogue is searched: `"exact"`, or `"ivf"` or `"hnsw"` for catalogues of more than a million
            items, which occasionally miss an item (extra `[index]`). The index is built here: after fine-tuning or
            moving the model, create a new `Recommender`.
        features: How a table of items becomes the features that the model reads (`config.item_features`), for
            `add_items`; saved with the model.
        record: Training record, saved with the model: the contents of `metrics.json`, `training_curve.png`,
            `slices.png` and `reliability.png`, by file name. Omit it if the model was fine-tuned since.

    Raises:
        InputError: If model, tokenizer and items are not of the same catalogue, the features are not those that the
            model reads, or the index does not exist.
        NonFiniteError: If an item vector is infinite or NaN.
        ImportError: If the index needs faiss and faiss is not installed.

    Example:
        >>> recommender = Recommender.from_pretrained("runs/ml-100k")  # doctest: +SKIP
        >>> recommender.recommend(["50", "181", "258"], k=10)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: NextItemHead,
        tokenizer: ItemTokenizer,
        items: Any,
        *,
        index: IndexName = "exact",
        features: ItemFeatures | None = None,
        record: Mapping[str, bytes] | None = None,
    ) -> None:
        self.items = Catalogue.of(items)
        require_one_catalogue(model.config.vocab_size, tokenizer, self.items)
        require_features_of(model, features)
        use_one_thread_after_forks()
        self.model = model.eval()
        self.index_name = index
        self.features = features
        self.record = dict(record or {})
        self.tokenizer = tokenizer
        self.retriever = self.make_retriever()

    def make_retriever(self) -> Retriever:
        """Build the index of the model's item vectors, and what searches it."""
        return make_retriever(
            self.model,
            partial(build_index, self.index_name),
            counts_V=self.items.counts_by_token,
            hidden_H=self.items.hidden_token_ids,
        )

    def update_popularity(self, frame: Any, *, columns: Mapping[str, str] | None = None) -> None:
        """Replace the counts of recent interactions that a model with `popularity_windows` reads.

        Those saved with a model end with its data. Call this with newer interactions, such as once a day, so that
        recommendations follow what is popular now. `save_pretrained` keeps the new counts.

        Args:
            frame: A file or frame of all users' interactions in the longest window before now or longer: `item_id`,
                `user_id` and `timestamp`. Items that the model does not know are left out.
            columns: Other names of the table's columns.

        Raises:
            InputError: If the model does not read recent popularity, the table cannot be read, its timestamps are no
                times, or it has no known item.
        """
        if not self.model.config.popularity_windows:
            raise InputError(
                "The model does not read recent popularity. Train one with popularity_windows, such as [7] days."
            )
        recent = read_user_table(
            frame,
            self.tokenizer,
            event_columns=("input_ids", "timestamps"),
            columns=columns,
            remembered=self.columns,
        ).histories
        self.model.set_events(recent.columns["input_ids"], recent.columns["timestamps"])
        self.retriever = self.make_retriever()

    def add_items(
        self, table: Any, *, columns: Mapping[str, str] | None = None, item_text_model: str | None = None
    ) -> None:
        """Add new items, which can be recommended at once; known items keep their token ids and scores.

        A model that reads item features scores a new item by its features. The embedding of its id, if the model has
        any, begins as zeros or, if the table names similar items, as the mean of theirs. A model that knows items by
        their ids alone needs similar items: the vector of a new item is the mean of theirs.

        The recommender then holds a new model (`model`), vocabulary (`tokenizer`) and catalogue (`items`), which
        `save_pretrained` saves. If it fails, nothing changes. The training record is kept: its metrics are those of the
        model without the new items.

        Args:
            table: A file or frame with one row per new item: `item_id`, optionally `title`; the columns of all features
                that the model reads (`features`), empty where a value is unknown; and `similar_to`: the raw ids of
                known items that it resembles, as a list or as text, separated by "|".
            columns: Maps `item_id` to the table's name of it, if that differs; `self.columns` is used otherwise.
            item_text_model: Folder of the model that encoded texts in training, if it is not where it was then.

        Raises:
            InputError: If the table cannot be read, lacks a column, or has unusable values; if an item is already
                known, occurs twice, or has neither a feature nor, in a model without features, a similar item; or if a
                similar item is unknown.

        Example:
            >>> new = pl.DataFrame({"item_id": ["1683"], "title": ["New"], "similar_to": ["50|181"]})
            >>> recommender.add_items(new)  # doctest: +SKIP
        """
        grown = grow(
            self.model,
            self.tokenizer,
            self.items,
            table,
            features=self.features,
            columns={**self.columns, **(columns or {})},
            item_text_model=item_text_model,
        )
        found = Recommender(
            grown.model,
            grown.tokenizer,
            grown.items,
            index=self.index_name,
            features=self.features,
            record=with_added_items(self.record, len(grown.items) - len(self.items)),
        )
        vars(self).pop("directions", None)
        vars(self).update(vars(found))

    def hide_items(self, item_ids: ItemIds) -> None:
        """Never recommend some items from now on, such as those out of stock.

        Hidden items remain known: they may occur in histories, and all items keep their vectors and scores. They are in
        no list, not even if `allow` names them; `similar_items` lists the others. `save_pretrained` keeps them hidden,
        and `show_items` reverses it. Evaluation ignores it: metrics are those of the full catalogue.

        Args:
            item_ids: Raw ids. Unknown and already hidden ones are left out, with a warning.

        Raises:
            InputError: If these are no ids, none of them is known, or no item would be left to recommend.
        """
        self.set_items(hide(self.items, self.tokenizer, item_ids))

    def show_items(self, item_ids: ItemIds) -> None:
        """Recommend hidden items again; see `hide_items`.

        Args:
            item_ids: Raw ids. Unknown ones and those that are not hidden are left out, with a warning.

        Raises:
            InputError: If these are no ids, or none of them is known.
        """
        self.set_items(show(self.items, self.tokenizer, item_ids))

    def set_items(self, items: Catalogue) -> None:
        """Replace the catalogue by one with the same items."""
        self.items = items
        self.retriever = self.make_retriever()
        vars(self).pop("directions", None)

    def with_catalogue(
        self, items: Any, *, columns: Mapping[str, str] | None = None, item_text_model: str | None = None
    ) -> "Recommender":
        """Return a recommender of other items, which the model knows by their features; this one stays as it is.

        The counts of the new items are 0, so users without a known item get them in the order of the table.

        Args:
            items: A file or frame with one row per item: `item_id`, optionally `title`, and the columns of all features
                that the model reads (`features`), empty where a value is unknown.
            columns: Maps `item_id` to the table's name of it, if that differs; `self.columns` is used otherwise.
            item_text_model: Folder of the model that encoded texts in training, if it is not where it was then.

        Raises:
            InputError: If the model has an embedding of each item's id (`item_id_embedding` is not "none"), the table
                cannot be read or lacks a column, an item has no feature, or values are unusable.

        Example:
            >>> other = recommender.with_catalogue("other-shop.csv")  # doctest: +SKIP
            >>> other.recommend(["sku-1", "sku-2"], k=10)  # doctest: +SKIP
        """
        found = over_catalogue(
            self.model,
            items,
            features=self.features,
            columns={**self.columns, **(columns or {})},
            item_text_model=item_text_model,
        )
        return Recommender(found.model, found.tokenizer, found.items, index=self.index_name, features=self.features)

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
            device: Where the model runs: `"auto"` for CUDA, MPS or else the CPU, or a device's name. Choose `"cpu"`
                before forking workers, which cannot use CUDA.
            index: How the catalogue is searched; see `Recommender`.
            **kwargs: Where and how to look, as in `transformers`: `revision`, `token`, `cache_dir`, …

        Raises:
            InputError: If the name is a mistyped path, or the device or index does not exist.
            SavedFolderError: If a part of the model is missing or damaged, the parts do not fit together, or the
                weights are a pickle.
            NonFiniteError: If a weight or an item vector is infinite or NaN.
            HubError: If the Hub refuses.
            HubConnectionError: If the Hub cannot be reached, or fails.
        """
        name, found_device = str(name_or_path), resolve_device(device)
        saved = load_saved(name, **kwargs)
        record = load_record(name, **kwargs)
        return cls(
            saved.model.to(found_device),
            saved.tokenizer,
            saved.items,
            index=index,
            features=saved.features,
            record=record,
        )

    def save_pretrained(self, folder: str | Path, *, repo_id: str | None = None) -> None:
        """Save model, code, vocabulary, catalogue and card, so that the folder also loads without `seqrec`.

        A model already in the folder is replaced atomically, with its metrics and training curve.

        Args:
            folder: The folder to write.
            repo_id: The repository that the card names; None if the model is not pushed.

        Raises:
            InputError: If `folder` is a file, or cannot be written.
            SavedFolderError: If the record is broken.
        """
        with staged(folder) as stage:
            self.model.save_pretrained(stage)
            self.tokenizer.save_pretrained(stage)
            save_catalogue(self.items, stage)
            if self.features is not None:
                self.features.save(stage)
            save_record(self.record, stage)
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
        """Share the model on the Hub, with its card; for arguments, see `push_folder`.

        Returns:
            Address of the repository, branch or pull request.

        Raises:
            InputError: If `repo_id` is not a valid repository name.
            HubError: If the Hub refuses.
            HubConnectionError: If the Hub cannot be reached, or fails.
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
    def recommend(
        self,
        history: ItemIds,
        k: int = ...,
        *,
        timestamps: Any = ...,
        at: Any = ...,
        unsorted: Unsorted = ...,
        exclude_seen: bool = ...,
        allow: AllowDeny = ...,
        deny: AllowDeny = ...,
        unknown: Unknown = ...,
        rank_by: Mapping[str, float] | None = ...,
        rerank_from: int = ...,
        **columns: Any,
    ) -> Recommendations: ...

    @overload
    def recommend(
        self,
        history: Iterable[ItemIds],
        k: int = ...,
        *,
        timestamps: Any = ...,
        at: Any = ...,
        unsorted: Unsorted = ...,
        exclude_seen: bool = ...,
        allow: AllowDeny = ...,
        deny: AllowDeny = ...,
        unknown: Unknown = ...,
        rank_by: Mapping[str, float] | None = ...,
        rerank_from: int = ...,
        **columns: Any,
    ) -> list[Recommendations]: ...

    def recommend(
        self,
        history: ItemIds | Iterable[ItemIds],
        k: int = 10,
        *,
        timestamps: Any = None,
        at: Any = None,
        unsorted: Unsorted = "sort",
        exclude_seen: bool = True,
        allow: AllowDeny = None,
        deny: AllowDeny = None,
        unknown: Unknown = "skip",
        rank_by: Mapping[str, float] | None = None,
        rerank_from: int = 100,
        **columns: Any,
    ) -> Recommendations | list[Recommendations]:
        """Recommend the items a user will most likely want next.

        Args:
            history: Raw ids of one user's items, oldest first; or a list of such histories. An empty list is one empty
                history.
            k: Number of items to recommend; lists are shorter if fewer items may be recommended.
            timestamps: When the user took each item, laid out like `history`: numbers of seconds, milliseconds,
                microseconds or nanoseconds since 1970, datetimes, or ISO text, without a time zone in UTC. Required by
                models that read times (`model.config.reads_time`), ignored by others.
            at: When the items are asked for: such a time, `"now"`, or a list of one for each history. Only for models
                whose `request_time` is "target"; without it, lists are as of each history's last event, with a warning.
            unsorted: If the timestamps of a history go backwards, `"sort"` to sort its items by time, with a warning,
                `"error"` to raise.
            exclude_seen: Whether to leave out the items of the history.
            allow: The only ids that may be recommended: one list for all, or one for each history. An empty list
                allows nothing.
            deny: Ids that may not be recommended: one list for all, or one for each history.
            unknown: `"skip"` to leave out unknown items of a history with a warning, `"error"` to raise.
            rank_by: Weights of several scores, such as `{"next_item": 1, "click": 0.5, "rating": 0.2}`: the items with
                the highest scores (`rerank_from` of them) are ranked again by the weighted sum of their z-scores in
                each of these, and the sum is their score. `next_item` is the score of recommending; the others are
                predictions (`predict`). A z-score is (value − mean) / standard deviation over those items. Histories
                without a known item get the most popular items all the same.
            rerank_from: Number of items that `rank_by` ranks again, at least k.
            **columns: The event columns that the model reads besides items and times, laid out like `history`, such as
                `device=["tv", "phone"]`. Labels of past events may be left out, or be None where there is none:
                `rating=[5, None, 3]`.

        Returns:
            `Recommendations` (a list of `Recommendation`, best first) for one history; a list of them for
            several.

        Raises:
            InputError: If the history is invalid or ambiguous, k is less than 1 or greater than the number of items, a
                column is missing or not read by the model, times are missing, cannot be read, do not fit the items or
                contradict each other, `at` has no effect, or, with `unknown="error"`, an item is unknown; if `rank_by`
                names a task that the model lacks, or a weight is not finite, or all are 0; or if `rerank_from` is less
                than k.
            NonFiniteError: If scores or predictions are infinite or NaN.
        """
        k, exclude_seen = self.check_k(k), require_switch(exclude_seen, name="exclude_seen")
        reranker = self.reranker(rank_by, k, rerank_from)
        requests = read_requests(
            history,
            self.tokenizer.look_up,
            timestamps=timestamps,
            at=at,
            unsorted=unsorted,
            columns=columns,
            wanted_columns=self.retriever.columns,
            allow=allow,
            deny=deny,
            unknown=unknown,
        )
        warn_of_empty(requests.histories, BY_POPULARITY)
        self.warn_of_old_counts(requests.histories)
        scores_RK, token_ids_RK = self.retriever.retrieve(
            requests.histories,
            k,
            exclude_seen=exclude_seen,
            allowed=requests.allowed,
            denied=requests.denied,
            reranker=reranker,
        )
        lists = describe(scores_RK, token_ids_RK, self.items)
        lengths = requests.histories.lengths_R.tolist()
        found = [
            Recommendations(one, unknown_items=missing, is_popularity=length == 0)
            for one, missing, length in zip(lists, requests.unknown_items, lengths, strict=True)
        ]
        return found[0] if requests.is_single else found

    def recommend_frame(
        self,
        frame: Any,
        k: int = 10,
        *,
        at: Any = None,
        exclude_seen: bool = True,
        allow: ItemIds | None = None,
        deny: ItemIds | None = None,
        unknown: Unknown = "skip",
        rank_by: Mapping[str, float] | None = None,
        rerank_from: int = 100,
        columns: Mapping[str, str] | None = None,
    ) -> pl.DataFrame:
        """Recommend for every user of a table of interactions.

        Args:
            frame: A file or frame with `user_id`, `item_id`, `timestamp` and the event columns that the model reads
                besides the items; see `read_interactions`. Columns may also have the names of the training table
                (`self.columns`). Labels of past events, such as ratings, may be missing. Rows of impressions (`click`
                0, if the model predicts clicks) are no part of histories, and their items not seen.
            k: Number of items for each user.
            at: When the items are asked for, one time for all users; see `recommend`.
            exclude_seen: Whether to leave out the items in the user's rows.
            allow: The only ids that may be recommended.
            deny: Ids that may not be recommended.
            unknown: See `recommend`.
            rank_by: See `recommend`.
            rerank_from: See `recommend`.
            columns: Other names of the table's columns, such as `{"user_id": "uid"}`.

        Returns:
            `user_id`, `rank` (from 1), `item_id`, `score`, always by these names, ordered by user and
            rank. User ids keep the table's type; item ids are text. Users without a known item get
            the most popular items; for their scores, see `Recommendations`.

        Raises:
            InputError: If the table cannot be read; otherwise as in `recommend`.
            NonFiniteError: If scores are infinite or NaN.
            RuntimeError: In a process forked from one that had already used polars.
        """
        k, exclude_seen = self.check_k(k), require_switch(exclude_seen, name="exclude_seen")
        reranker = self.reranker(rank_by, k, rerank_from)
        allowed, denied = self.encode_list(allow, where="allow"), self.encode_list(deny, where="deny")
        table = read_user_table(
            frame,
            self.tokenizer,
            event_columns=self.retriever.columns,
            label_tasks=self.model.config.label_tasks,
            at=at,
            columns=columns,
            remembered=self.columns,
            protocol=self.protocol,
            unknown=unknown,
        )
        warn_of_empty(table.histories, BY_POPULARITY)
        self.warn_of_old_counts(table.histories)
        found = self.retriever.retrieve(
            table.histories, k, exclude_seen=exclude_seen, allowed=allowed, denied=denied, reranker=reranker
        )
        return user_lists(table.user_ids, *found, self.items)

    def reranker(self, rank_by: Mapping[str, float] | None, k: int, rerank_from: int) -> Reranker | None:
        """Return what ranks the best items again; None without weights. See `make_reranker`."""
        if rank_by is None:
            return None
        tasks = ["next_item", *self.model.config.label_tasks]
        return make_reranker(
            self.model.predict_tasks, rank_by, tasks, k=k, rerank_from=rerank_from, num_items=len(self.items)
        )

    def name_item(self, item_id: ItemId) -> str:
        """Return an item's title, or its id if it has no title."""
        name = id_text(item_id, "name_item")
        (token_id,) = self.tokenizer.look_up([name])
        row = self.items.row_of(int(token_id))
        return name if row is None else self.items.titles[row] or name

    @torch.no_grad()
    def similar_items(self, item_id: ItemId, k: int = 10) -> Recommendations:
        """List the items whose vectors have the highest cosine similarity, which is the score.

        Raises:
            InputError: If the item is unknown or not an id, or k is out of range.
            NonFiniteError: If an item vector is infinite or NaN.
        """
        k = self.check_k(k)
        name = id_text(item_id, "similar_items")
        token_ids, _ = look_up([name], self.tokenizer.look_up, where="similar_items", unknown="error")
        item_1 = torch.as_tensor(token_ids, device=self.model.device)
        vector_1D = require_finite(self.model.item_vectors()[item_1].float(), what="Item vectors")
        direction_1D = torch.nn.functional.normalize(vector_1D)
        scores_1K, token_ids_1K = self.directions.search(direction_1D, k, excluded_BS=item_1[None])
        (found,) = describe(scores_1K.numpy(force=True), token_ids_1K.numpy(force=True), self.items)
        return Recommendations(found)

    @cached_property
    def directions(self) -> Index:
        """Index of the item vectors at length 1, built on first use."""
        with torch.no_grad():
            vectors_VD = require_finite(self.model.item_vectors().float(), what="Item vectors")
        hidden_H = torch.from_numpy(self.items.hidden_token_ids) if self.items.is_hidden.any() else None
        return build_index(self.index_name, torch.nn.functional.normalize(vectors_VD), hidden_H)

    @property
    def metrics(self) -> dict[str, Any] | None:
        """The content of `metrics.json`: the protocol, and the metrics of the model and the baselines; None if unknown.

        Raises:
            SavedFolderError: If it is broken.
        """
        content = self.record.get(METRICS)
        return None if content is None else parse_json_object(content, METRICS)

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the training table whose names differ from ours: our name → the table's.

        `recommend_frame` also looks for these in its tables.
        """
        return remembered_columns(self.protocol)

    @property
    def protocol(self) -> Any:
        """The protocol of the training; None if it is unknown, or `metrics.json` is broken."""
        with suppress(SavedFolderError):
            return (self.metrics or {}).get("protocol")
        return None

    @property
    def item_ids(self) -> list[str]:
        """Raw ids of the catalogue, in the order of their token ids."""
        return self.items.item_ids

    def encode_list(self, item_ids: ItemIds | None, *, where: str) -> list[np.ndarray] | None:
        """Encode the known items of an allow or deny list that applies to all users."""
        if item_ids is None:
            return None
        return encode_lists(read_ids(item_ids, where=where, ordered=False), 0, self.tokenizer.look_up, where=where)

    def check_k(self, k: int) -> int:
        """Return k; raise an `InputError` if it is not an integer from 1 to the number of items."""
        return require_list_length(k, len(self.items))
