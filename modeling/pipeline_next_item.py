"""The pipeline `next-item-recommendation`: recommending by raw item ids with nothing but `transformers`.

Shape suffixes: B users, L length, V vocabulary, K list length.
"""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import GeneratorType
from typing import Any

import numpy as np
from torch.utils.data import Dataset
from transformers import Pipeline

from seqrec.errors import InputError
from seqrec.interactions.candidates import read_candidates
from seqrec.interactions.events import TIME_COLUMNS
from seqrec.interactions.item_rows import rows_of, token_ids_of
from seqrec.interactions.label_columns import register_label_columns
from seqrec.interactions.plain_features import ITEM_FEATURES
from seqrec.interactions.raw_ids import read_lists
from seqrec.interactions.request_options import require_list_length, require_switch
from seqrec.interactions.request_reading import AllowDeny, Requests, read_requests, warn_of_empty
from seqrec.interactions.special_tokens import UNK_ID
from seqrec.interactions.tokenizer_settings import make_tokenizer
from seqrec.modeling.explanation_methods import explain_lists
from seqrec.modeling.forked_workers import use_one_thread_after_forks
from seqrec.modeling.grown_models import grown_model, has_id_embedding
from seqrec.modeling.pipeline_diversity import DiverseLists
from seqrec.modeling.pipeline_items import read_new_items
from seqrec.modeling.pipeline_predictions import list_predictions, predict_candidates
from seqrec.modeling.recent_counts import warn_of_old_counts
from seqrec.modeling.saved_items import ITEMS, ITEMS_JSON, find_items, read_items, save_items
from seqrec.modeling.serving import make_retriever
from seqrec.search.diversity_options import DiversityMethod, DiversityOptions
from seqrec.search.exact_index import ExactIndex
from seqrec.search.pair_predictions import require_label_tasks
from seqrec.search.reranking import make_rerankers
from seqrec.search.retriever import Retriever
from seqrec.search.score_floor import read_min_score

__all__ = ["TASK", "NextItemRecommendationPipeline"]

TASK = "next-item-recommendation"
REQUEST_KEYS = ("history", "timestamps", "at", "allow", "deny", "candidates")
BY_POPULARITY = "the most popular items are recommended for them"
BY_TOKEN_ORDER = "items are recommended for them in token order, which usually follows popularity"


class NextItemRecommendationPipeline(Pipeline):
    """Recommend the items that users will most likely want next.

    Lists, scores and titles equal those of `Recommender.recommend`. Titles, hidden items, and the counts by which
    histories without a known item get the most popular items, come from `items.parquet` next to the model, or from
    `items.json` if pyarrow is not installed. Without that file, there are no titles, nothing is hidden, and such
    histories get items in token order, which follows popularity if the tokenizer was built from interactions.

    Example:
        >>> from transformers import pipeline
        >>> pipe = pipeline("next-item-recommendation", model="runs/ml-100k")  # doctest: +SKIP
        >>> pipe(["50", "181", "258"], top_k=10)  # doctest: +SKIP
    """

    model: Any
    tokenizer: Any
    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        use_one_thread_after_forks()
        register_label_columns(self.model.config.label_tasks)  # remote code of models has its own registry
        self.model.eval()
        vocab_size = self.model.config.vocab_size
        if len(self.tokenizer) != vocab_size:
            raise InputError(
                f"The model has {vocab_size} tokens, but the tokenizer has {len(self.tokenizer)}. Take both from one "
                "training."
            )
        item_ids = self.tokenizer.convert_ids_to_tokens(range(token_ids_of(0), vocab_size))
        items = read_items(self.model, item_ids)
        self.titles = None if items is None else items.titles
        self.answers_empty = BY_TOKEN_ORDER if items is None else BY_POPULARITY
        self.counts_V = np.zeros(vocab_size, dtype=np.int64) if items is None else items.counts_V
        self.hidden_H = np.empty(0, dtype=np.int64) if items is None else items.hidden_H
        self.has_new_items = False
        self.diverse_lists = DiverseLists(self.model, self.counts_V)
        self.retriever = self.retriever_of(self.model, self.counts_V)

    @property
    def item_ids(self) -> list[str]:
        """Raw ids of the catalogue, in the order of their token ids."""
        return self.tokenizer.convert_ids_to_tokens(range(token_ids_of(0), len(self.tokenizer)))

    def add_items(self, items: Any, *, item_text_model: str | None = None) -> None:
        """Add new items, which can be recommended at once; known items keep their scores.

        It does the same as `Recommender.add_items`. If it fails, nothing changes.

        Args:
            items: A list of dictionaries, one for each item, or a dictionary of columns: `item_id`, optionally `title`;
                all features that the model reads, None or left out where a value is unknown; and `similar_to`, the ids
                of known items that an item resembles, which models without features require. A text may be given as
                its ready vector; others need sentence-transformers.
            item_text_model: Id or folder of the model that encoded texts in training, if it is not where it was then.

        Raises:
            InputError: If the items are of another form, lack a feature or have unusable values; if an item is known,
                is given twice, or has neither a feature nor, in a model without features, a similar item.

        Example:
            >>> pipe.add_items([{"item_id": "x", "genres": ["Comedy"], "year": 1999}])  # doctest: +SKIP
        """
        item_ids = self.item_ids
        new = read_new_items(items, {*item_ids})
        values = new.feature_values(self.model, item_text_model)
        look_up, has_ids = self.encode_item_ids, has_id_embedding(self.model)
        similar = new.similar_items(look_up, is_required=values is None) if has_ids else None
        tokenizer = make_tokenizer(type(self.tokenizer), [*item_ids, *new.item_ids])
        counts_V = np.concatenate([self.counts_V, np.zeros(len(new.item_ids), dtype=np.int64)])
        model = grown_model(self.model, len(tokenizer), counts_V, values, similar)
        self.retriever = self.retriever_of(model, counts_V)
        self.diverse_lists = self.diverse_lists.with_items(model, counts_V, new)
        self.model, self.tokenizer, self.counts_V, self.has_new_items = model, tokenizer, counts_V, True
        titles = [*(self.titles or [None] * len(item_ids)), *new.titles]
        self.titles = None if all(title is None for title in titles) else titles

    def retriever_of(self, model: Any, counts_V: np.ndarray) -> Retriever:
        """Build what answers requests, for a model and its items' counts."""
        return make_retriever(model, ExactIndex, counts_V=counts_V, hidden_H=self.hidden_H)

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Recommend for one history or several, or predict ratings and other outcomes for given items.

        Args:
            inputs: One user's raw item ids, oldest first (a list, array or column); a list of such histories; a dict
                with `history` (either of these), optionally `timestamps`, `at`, `allow` and `deny`, and the further
                event columns that the model reads, laid out like `history`; or a list of such dicts. A generator yields
                requests of any of these forms. A model that reads times needs `timestamps`, when the user took each
                item; one whose `request_time` is "target" also reads `at`, when the items are asked for: both as in
                `Recommender.recommend`. A dict with `candidates` (one list of raw ids for all histories, or one for
                each) asks for predictions for these items, as `Recommender.predict` gives.
            **kwargs: `top_k` (10), the number of items; `exclude_seen` (True), whether to leave out items of the
                history; `allow`, the only ids that may be recommended, and `deny`, ids that may not: one list for all
                histories, or one for each; `at`, for requests without their own; `explain`, True or the name of a
                method of `Recommender.explain`; `rank_by` and, for diverse lists, `diversity`, `method`,
                `diversify_by`, `max_per`, `popularity_penalty`, `exploration`, `seed` and `rerank_from` (100); and
                `min_score`: as in `Recommender.recommend`, columns of items being those of `items.parquet`, which needs
                pyarrow. `batch_size` has no effect: a list of histories is batched by length.

        Returns:
            `[{"item_id": …, "score": …, "title": …}, …]`, best first, for one history; a list of such lists for
            several. The title is None for an item without one; if no item of the catalogue has a title, answers have no
            `title`. Lists are shorter than `top_k` if fewer items may be recommended. With `explain`, each item has
            `reasons`, the rows of `Recommender.explain` as dictionaries; none for histories without a known item. For
            `candidates`, `[{"item_id": …, "rating": …, "click": …}, …]` in their order, with the tasks that the model
            predicts.

        Raises:
            InputError: If a history is invalid or ambiguous, an option is out of range, or an event column is missing
                or not read by the model; or if a candidate is unknown, or the model predicts only the next item.
            NonFiniteError: If scores or predictions are infinite or NaN.
        """
        if not (isinstance(inputs, Mapping | GeneratorType | Dataset) or is_list_of_requests(inputs)):
            inputs = {"history": inputs}  # otherwise the ids of a history would be taken for a batch
        return super().__call__(inputs, **{**kwargs, "batch_size": 1})

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """Save model, tokenizer and the catalogue's files; the code is saved with the model.

        With new items, `items.parquet`, which `Recommender.from_pretrained` needs, is only written if pyarrow is
        installed.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory, **kwargs)
        is_counted = self.answers_empty == BY_POPULARITY
        if self.has_new_items and is_counted:
            save_items(save_directory, self.item_ids, self.counts_V, self.titles, self.hidden_H)
        for name in (ITEM_FEATURES,) if self.has_new_items else (ITEMS, ITEMS_JSON, ITEM_FEATURES):
            path, copy = find_items(self.model, name), Path(save_directory, name)
            if path is not None and Path(path).resolve() != copy.resolve():
                shutil.copyfile(path, copy)

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        exclude_seen: bool | None = None,
        allow: AllowDeny = None,
        deny: AllowDeny = None,
        at: Any = None,
        explain: bool | str | None = None,
        rank_by: Mapping[str, float] | None = None,
        rerank_from: int | None = None,
        diversity: float | None = None,
        method: DiversityMethod | None = None,
        diversify_by: str | None = None,
        max_per: Mapping[str, int] | None = None,
        popularity_penalty: float | None = None,
        exploration: float | None = None,
        seed: int | None = None,
        min_score: float | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        lists = {name: as_lists(ids, name) for name, ids in given({"allow": allow, "deny": deny}).items()}
        preparing = lists | given({"at": at})
        answering: dict[str, Any] = {"top_k": top_k, "exclude_seen": exclude_seen, "explain": explain}
        answering |= {"rank_by": rank_by, "rerank_from": rerank_from, "min_score": min_score}
        diverse = {
            "diversity": diversity,
            "method": method,
            "diversify_by": diversify_by,
            "max_per": max_per,
            "popularity_penalty": popularity_penalty,
            "exploration": exploration,
            "seed": seed,
        }
        return preparing, given(answering | diverse), {}

    def preprocess(
        self, input_: Any, allow: AllowDeny = None, deny: AllowDeny = None, at: Any = None
    ) -> dict[str, Any]:
        """Turn a request's raw ids into token ids, and warn of unknown ones."""
        request = input_ if isinstance(input_, Mapping) else {"history": input_}
        columns = {name: values for name, values in request.items() if name not in REQUEST_KEYS}
        if "history" not in request or not columns.keys() <= set(self.further_columns):
            names = ", ".join(map(repr, [*self.optional_keys, *self.further_columns]))
            raise InputError(
                f"A request must have a 'history' and may have {names}, but has {list(request)}. Correct its keys."
            )
        requests = read_requests(
            request["history"],
            self.encode_item_ids,
            timestamps=request.get("timestamps"),
            at=request.get("at", at),
            columns=columns,
            wanted_columns=self.retriever.columns,
            allow=request.get("allow", allow),
            deny=request.get("deny", deny),
        )
        if "candidates" not in request:
            return {"requests": requests}
        if requests.allowed is not None or requests.denied is not None:
            raise InputError("allow and deny have no effect on predictions for candidates. Leave them out.")
        require_label_tasks(self.model.config)
        candidates = read_candidates(request["candidates"], len(requests.histories), self.encode_item_ids)
        return {"requests": requests, "candidates": candidates}

    def _forward(
        self,
        input_tensors: dict[str, Any],
        top_k: int = 10,
        exclude_seen: bool = True,
        explain: bool | str = False,
        rank_by: Mapping[str, float] | None = None,
        rerank_from: int = 100,
        min_score: float | None = None,
        **diverse: Any,
    ) -> dict[str, Any]:
        if "candidates" in input_tensors:
            predictions = predict_candidates(self.model, self.retriever, **input_tensors)
            return {**input_tensors, "predictions": predictions}
        top_k = require_list_length(top_k, self.model.config.num_items, name="top_k")
        exclude_seen = require_switch(exclude_seen, name="exclude_seen")
        options = DiversityOptions(**diverse)
        diversifier = partial(self.diverse_lists.diversifier, options) if options else None
        min_score = read_min_score(min_score)
        rerankers = make_rerankers(
            self.model, rank_by, diversifier, k=top_k, rerank_from=rerank_from, min_score=min_score
        )
        requests: Requests = input_tensors["requests"]
        warn_of_empty(requests.histories, self.answers_empty)
        warn_of_old_counts(self.model.recent_counts, requests.histories.rows.get("target_timestamp"))
        scores_BK, token_ids_BK = self.retriever.retrieve(
            requests.histories,
            top_k,
            exclude_seen=exclude_seen,
            allowed=requests.allowed,
            denied=requests.denied,
            rerankers=rerankers,
            min_score=min_score,
        )
        found = {"is_single": requests.is_single, "scores_BK": scores_BK, "token_ids_BK": token_ids_BK}
        if explain is not False:
            names, titles = self.item_ids, self.titles or [None] * len(self.item_ids)
            found["reasons"] = explain_lists(self.retriever, requests.histories, token_ids_BK, explain, names, titles)
        return found

    def postprocess(self, model_outputs: dict[str, Any]) -> list[Any]:
        """Turn scores and token ids into raw ids with scores and titles, without empty places; or list predictions."""
        if "predictions" in model_outputs:
            return list_predictions(**model_outputs)
        found = [
            [
                self.describe(token_id, score)
                for score, token_id in zip(scores_K.tolist(), token_ids_K.tolist(), strict=True)
                if token_id > 0
            ]
            for scores_K, token_ids_K in zip(model_outputs["scores_BK"], model_outputs["token_ids_BK"], strict=True)
        ]
        for items, reasons in zip(found, model_outputs.get("reasons", ()), strict=False):
            for item, own in zip(items, reasons, strict=True):
                item["reasons"] = own
        return found[0] if model_outputs["is_single"] else found

    def describe(self, token_id: int, score: float) -> dict[str, Any]:
        """Describe one recommended item."""
        found = {"item_id": self.tokenizer.convert_ids_to_tokens(token_id), "score": score}
        return found if self.titles is None else {**found, "title": self.titles[rows_of(token_id)]}

    @property
    def further_columns(self) -> list[str]:
        """The event columns that the model reads besides items and times."""
        return [name for name in self.retriever.columns if name not in ("input_ids", *TIME_COLUMNS)]

    @property
    def optional_keys(self) -> list[str]:
        """The keys of a request, besides its history and further event columns, that have an effect on the model."""
        reads = {"timestamps": "timestamps", "at": "request_times"}
        names = [name for name in REQUEST_KEYS[1:] if reads.get(name, "input_ids") in self.retriever.columns]
        return names if self.model.config.label_tasks else [name for name in names if name != "candidates"]

    def encode_item_ids(self, item_ids: list[str]) -> np.ndarray:
        """Look up raw ids as `ItemTokenizer.encode_item_ids` does; without seqrec, the tokenizer lacks that method."""
        token_ids = np.array(self.tokenizer.convert_tokens_to_ids(item_ids), dtype=np.int64)
        return np.where(rows_of(token_ids) < 0, UNK_ID, token_ids)


def is_list_of_requests(inputs: Any) -> bool:
    """Return whether the inputs are a list of dicts, each of them a request."""
    return isinstance(inputs, list | tuple) and bool(inputs) and all(isinstance(one, Mapping) for one in inputs)


def as_lists(ids: AllowDeny, name: str) -> list[str] | list[list[str]]:
    """Read an allow or deny list shared by many requests: the first would exhaust an iterator."""
    lists, is_one_for_all = read_lists(ids, where=name)
    return lists[0] if is_one_for_all else lists


def given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Omit parameters that were not given, so that the defaults of the pipeline's steps apply."""
    return {name: value for name, value in parameters.items() if value is not None}
