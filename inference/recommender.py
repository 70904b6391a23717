"""Recommend by raw item ids: the model, its vocabulary and its catalogue in one object.

Shape suffixes: R histories, K list length, D hidden size, V vocabulary.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import torch

from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.json_objects import parse_json_object
from seqrec.hub.model_card import METRICS, save_model_card
from seqrec.hub.saved_catalogue import save_catalogue
from seqrec.hub.saved_folder import load_record, load_saved, require_one_catalogue
from seqrec.hub.sharing import push_folder
from seqrec.hub.staging import staged
from seqrec.inference.baskets import BasketRecommender
from seqrec.inference.explainer import Explainer
from seqrec.inference.exported_model import ExportedModel, device_of, load_exported
from seqrec.inference.graph_formats import Backend
from seqrec.inference.hidden_items import hide, show
from seqrec.inference.new_catalogue import over_catalogue
from seqrec.inference.new_items import grow, require_features_of
from seqrec.inference.recommendations import Recommendations, describe
from seqrec.inference.rollouts import RolloutRecommender
from seqrec.inference.scoring_workers import PartScoring
from seqrec.inference.session_recommender import SessionRecommender
from seqrec.inference.table_recommender import TableRecommender
from seqrec.inference.training_record import save_record, with_added_items
from seqrec.inference.user_tables import read_user_table
from seqrec.inference.vector_tables import VectorTables
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.column_names import remembered_columns
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.item_sets import ItemSet
from seqrec.interactions.raw_ids import ItemId, ItemIds, id_text, look_up
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.interactions.workers import Workers
from seqrec.modeling.forked_workers import use_one_thread_after_forks
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.serving import make_retriever
from seqrec.search.approximate_index import build_index
from seqrec.search.finite import require_finite
from seqrec.search.index_names import IndexName
from seqrec.search.interfaces import Index
from seqrec.search.retriever import Retriever

__all__ = ["Recommender"]


class Recommender(TableRecommender, SessionRecommender, Explainer, VectorTables, RolloutRecommender, BasketRecommender):
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
        exported: Graph exported from the model, which computes in its place wherever it can; see `from_pretrained`.
        record: Training record, saved with the model: the contents of `metrics.json`, `training_curve.png`,
            `slices.png`, `reliability.png` and `item_map.png`, by file name. Omit it if the model was fine-tuned since.

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
        exported: ExportedModel | None = None,
        record: Mapping[str, bytes] | None = None,
    ) -> None:
        self.items = Catalogue.of(items)
        require_one_catalogue(model.config.vocab_size, tokenizer, self.items)
        require_features_of(model, features)
        use_one_thread_after_forks()
        self.model = model.eval()
        self.index_name = index
        self.exported = exported
        self.features = features
        self.record = dict(record or {})
        self.tokenizer = tokenizer
        self.retriever = self.make_retriever()

    def make_retriever(self) -> Retriever:
        """Build the index of the model's item vectors, and what searches it."""
        retriever = make_retriever(
            self.model,
            partial(build_index, self.index_name),
            counts_V=self.items.counts_by_token,
            hidden_H=self.items.hidden_token_ids,
        )
        if self.exported is None:
            return retriever
        return self.exported.retriever(retriever, self.model, self.items, self.index_name)

    def part_scoring(self, workers: Workers, device: str, options: Mapping[str, Any]) -> PartScoring:
        """Return the scoring of parts by workers that load this recommender; see `recommend_file`.

        Raises:
            InputError: If this recommender runs a graph.
        """
        if self.exported is not None:
            raise InputError(
                f"Workers run the model itself, not a graph (backend={self.exported.backend!r}). Load it with "
                "backend='torch'."
            )
        loading = {"device": device, "index": self.index_name}
        told = {name: self.ids_in(value) if isinstance(value, ItemSet) else value for name, value in options.items()}
        return PartScoring(workers, self.save_pretrained, loading, told, type(self.model).__module__)

    def ids_in(self, items: ItemSet) -> list[str]:
        """Return the raw ids of an item set."""
        return self.tokenizer.convert_ids_to_tokens(items.token_ids.tolist())

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
            InputError: If the recommender runs an exported graph; if the table cannot be read, lacks a column, or has
                unusable values; if an item is already known, occurs twice, or has neither a feature nor, in a model
                without features, a similar item; or if a similar item is unknown.

        Example:
            >>> new = pl.DataFrame({"item_id": ["1683"], "title": ["New"], "similar_to": ["50|181"]})  # doctest: +SKIP
            >>> recommender.add_items(new)  # doctest: +SKIP
        """
        if self.exported is not None:
            raise InputError(
                f"This recommender runs a graph (backend={self.exported.backend!r}), which cannot have new items. Load "
                "the model with backend='torch', add them, save it, and export it again."
            )
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
        backend: Backend = "torch",
        **kwargs: Any,
    ) -> Self:
        """Load a folder written by `seqrec train` or `save_pretrained`, or a repository of the Hub.

        Args:
            name_or_path: Folder, or `"org/name"` on the Hub.
            device: Where the model runs: `"auto"` for CUDA, MPS or else the CPU, or a device's name. Choose `"cpu"`
                before forking workers, which cannot use CUDA.
            index: How the catalogue is searched; see `Recommender`.
            backend: What computes user vectors and lists: `"torch"`, or a graph that `seqrec export` wrote, by
                `"onnx"` (extra `[onnx]`) or `"openvino"` (extra `[openvino]`), on the CPU. The answers are the same.
                Lists with `allow`, `rank_by` or `exclude_seen=False`, or after items were hidden or counts updated,
                are found by torch among the user vectors of the graph, as are predictions of tasks. A graph is loaded
                with the first request: if a server forks workers, answer none before, since onnxruntime's threads do
                not survive a fork.
            **kwargs: Where and how to look, as in `transformers`: `revision`, `token`, `cache_dir`, …

        Raises:
            InputError: If the name is a mistyped path; the device, index or backend does not exist; a backend is not
                installed; or another device than the CPU was chosen for a graph.
            SavedFolderError: If a part of the model is missing or damaged, the parts do not fit together, the weights
                are a pickle, or the model has no graph for the backend, or one of earlier weights.
            NonFiniteError: If a weight or an item vector is infinite or NaN.
            HubError: If the Hub refuses.
            HubConnectionError: If the Hub cannot be reached, or fails.
        """
        name, found_device = str(name_or_path), device_of(backend, device)
        saved = load_saved(name, **kwargs)
        record = load_record(name, **kwargs)
        return cls(
            saved.model.to(found_device),
            saved.tokenizer,
            saved.items,
            index=index,
            features=saved.features,
            exported=load_exported(name, backend, **kwargs),
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
