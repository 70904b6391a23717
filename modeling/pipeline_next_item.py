"""The pipeline `next-item-recommendation`: recommending by raw item ids with nothing but `transformers`.

Shape suffixes: B users, L length, V vocabulary, K list length.
"""

import warnings
from collections.abc import Iterable, Mapping
from types import GeneratorType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Pipeline

from seqrec.errors import InputError
from seqrec.interactions.raw_ids import ItemIds, encode_known, encode_lists, read_histories, read_lists
from seqrec.interactions.request_options import require_list_length, require_switch
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS, UNK_ID
from seqrec.modeling.forked_workers import use_one_thread_after_forks
from seqrec.search.best_items import Answerer, best_items
from seqrec.search.exact_index import ExactIndex
from seqrec.search.finite import require_finite

TASK = "next-item-recommendation"
REQUEST_KEYS = ("history", "allow", "deny")

AllowDeny = ItemIds | Iterable[ItemIds] | None


class NextItemRecommendationPipeline(Pipeline):
    """Recommends the items that users will most likely want next.

    Lists and scores are those of `Recommender.recommend`. Weights and tokenizer are all it reads, so it knows no
    titles; and a history without a known item is answered by the order of the token ids, which is that of popularity
    where the tokenizer was built from interactions.

    Example:
        >>> from transformers import pipeline
        >>> pipe = pipeline("next-item-recommendation", model="runs/ml-100k")  # doctest: +SKIP
        >>> pipe(["50", "181", "258"], top_k=10)  # doctest: +SKIP
    """

    _load_tokenizer = True
    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        use_one_thread_after_forks()
        self.model.eval()
        vocab_size = self.model.config.vocab_size
        if len(self.tokenizer) != vocab_size:
            raise InputError(
                f"The model has {vocab_size} tokens, the tokenizer {len(self.tokenizer)}. Take both from one training."
            )
        order = TokenOrder(vocab_size)
        self.answerer = Answerer(self.model, ExactIndex(require_finite(self.model.encode_items(), what="Item vectors")))
        self.by_order = Answerer(order, ExactIndex(order.encode_items().to(self.model.device)))

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Recommend for one history or several.

        Args:
            inputs: Raw ids of what one user did, oldest first (a list, array or column); a list of such histories; or a
                dict with `history` (either of the two) and perhaps `allow` and `deny`, or a list of such dicts. A
                generator is one of such requests.
            **kwargs: `top_k` (10), how many items; `exclude_seen` (True), whether to leave out what is in the history;
                `allow` and `deny`, ids that alone or never may be recommended: one list for all, or one for each
                history. `batch_size` has no effect: histories of one list share batches by their length.

        Returns:
            `[{"item_id": …, "score": …}, …]`, best first, for one history; a list of them for several. Fewer than
            `top_k` come back where fewer may be recommended.

        Raises:
            ValueError: On what is no history or could be read in more than one way, on options out of range, and on a
                model whose scores are not finite.
        """
        if not (isinstance(inputs, Mapping | GeneratorType | Dataset) or is_list_of_requests(inputs)):
            inputs = {"history": inputs}  # else the ids of a history would be taken for a batch
        return super().__call__(inputs, **{**kwargs, "batch_size": 1})

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """Save model and tokenizer; the code goes with the model."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory, **kwargs)

    def _sanitize_parameters(
        self,
        top_k: int | None = None,
        exclude_seen: bool | None = None,
        allow: AllowDeny = None,
        deny: AllowDeny = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preparing = {name: as_lists(ids, name) for name, ids in given({"allow": allow, "deny": deny}).items()}
        answering = {"top_k": top_k, "exclude_seen": exclude_seen}
        return preparing, given(answering), {}

    def preprocess(self, input_: Any, allow: AllowDeny = None, deny: AllowDeny = None) -> dict[str, Any]:
        """Turn a request's raw ids into token ids, with a warning for those that are unknown."""
        request = input_ if isinstance(input_, Mapping) else {"history": input_}
        if "history" not in request or not set(request) <= set(REQUEST_KEYS):
            raise InputError(
                f"A request has a 'history', and perhaps 'allow' and 'deny', but {list(request)} was given."
            )
        histories, is_single = read_histories(request["history"])
        known = [encode_known(one, self.encode_item_ids, where="this history")[0] for one in histories]
        allow, deny = request.get("allow", allow), request.get("deny", deny)
        return {
            "is_single": is_single,
            "histories": known,
            "allowed": encode_lists(allow, len(known), self.encode_item_ids, where="allow"),
            "denied": encode_lists(deny, len(known), self.encode_item_ids, where="deny"),
        }

    def _forward(
        self, input_tensors: dict[str, Any], top_k: int = 10, exclude_seen: bool = True
    ) -> dict[str, bool | np.ndarray]:
        top_k = require_list_length(top_k, self.model.config.num_items, name="top_k")
        exclude_seen = require_switch(exclude_seen, name="exclude_seen")
        histories = input_tensors["histories"]
        num_empty = sum(len(history) == 0 for history in histories)
        if num_empty:
            warnings.warn(
                f"{num_empty} of {len(histories)} histories hold no known item; for them, items are recommended in the "
                "order of their token ids, which is commonly that of popularity.",
                stacklevel=2,
            )
        scores_BK, token_ids_BK = best_items(
            self.answerer,
            self.by_order,
            histories,
            top_k,
            max_length=self.model.config.max_history_length,
            exclude_seen=exclude_seen,
            allowed=input_tensors["allowed"],
            denied=input_tensors["denied"],
        )
        return {"is_single": input_tensors["is_single"], "scores_BK": scores_BK, "token_ids_BK": token_ids_BK}

    def postprocess(self, model_outputs: dict[str, Any]) -> list[Any]:
        """Turn scores and token ids into raw ids with scores, without the empty places."""
        found = [
            [
                {"item_id": self.tokenizer.convert_ids_to_tokens(token_id), "score": score}
                for score, token_id in zip(scores_K.tolist(), token_ids_K.tolist(), strict=True)
                if token_id > 0
            ]
            for scores_K, token_ids_K in zip(model_outputs["scores_BK"], model_outputs["token_ids_BK"], strict=True)
        ]
        return found[0] if model_outputs["is_single"] else found

    def encode_item_ids(self, item_ids: list[str]) -> np.ndarray:
        """Look up raw ids as `ItemTokenizer.encode_item_ids` does, which a folder's tokenizer lacks without seqrec."""
        token_ids = np.array(self.tokenizer.convert_tokens_to_ids(item_ids), dtype=np.int64)
        return np.where(token_ids < NUM_SPECIAL_TOKENS, UNK_ID, token_ids)


class TokenOrder:
    """Recommends to everybody the items in the order of their token ids.

    Args:
        vocab_size: V; up to 2^24, float32 tells all scores apart.
    """

    def __init__(self, vocab_size: int) -> None:
        self.scores_V1 = torch.arange(vocab_size, 0, -1, dtype=torch.float32)[:, None]

    def encode_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> Tensor:
        """Return the same vector for every history (B, L): ones (B, 1)."""
        return torch.ones(len(input_ids), 1, device=input_ids.device)

    def encode_items(self) -> Tensor:
        """Return the items' scores (V, 1), float32."""
        return self.scores_V1


def is_list_of_requests(inputs: Any) -> bool:
    """Tell whether something is a list of dicts, each a request."""
    return isinstance(inputs, list | tuple) and bool(inputs) and all(isinstance(one, Mapping) for one in inputs)


def as_lists(ids: AllowDeny, name: str) -> list[str] | list[list[str]]:
    """Read an allow or deny list that many requests share: an iterator would be used up by the first."""
    lists, is_one_for_all = read_lists(ids, where=name)
    return lists[0] if is_one_for_all else lists


def given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not given, so that the defaults of the steps hold."""
    return {name: value for name, value in parameters.items() if value is not None}
