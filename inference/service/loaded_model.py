"""A model that answers, and what clients are told about it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from seqrec.hub.weights_hash import WEIGHTS_SHA256, weights_sha256
from seqrec.inference.recommender import Recommender
from seqrec.inference.service.folder_state import VERSION_LENGTH, version_of
from seqrec.interactions.events import TIME_COLUMNS
from seqrec.interactions.label_columns import is_label
from seqrec.interactions.raw_ids import id_text
from seqrec.interactions.special_tokens import UNK_ID

__all__ = ["LoadedModel", "load_model_to_serve", "now"]


@dataclass(frozen=True)
class LoadedModel:
    """A model that answers.

    Attributes:
        recommender: The model, its vocabulary and its catalogue.
        name: Name of its folder, or of its repository.
        version: Changes with weights, configuration, vocabulary and catalogue.
        weights_sha256: Hash of its weights; None if it is unknown.
        loaded_at: When it was loaded (ISO, UTC).
    """

    recommender: Recommender
    name: str
    version: str
    weights_sha256: str | None
    loaded_at: str

    @cached_property
    def item_ids(self) -> list[str]:
        """Ids of the catalogue, which the recommender would list anew."""
        return self.recommender.item_ids

    @cached_property
    def further_columns(self) -> list[str]:
        """The event columns that the model reads besides items and times."""
        return [name for name in self.recommender.retriever.columns if name not in ("input_ids", *TIME_COLUMNS)]

    @cached_property
    def reads_at(self) -> bool:
        """Whether the model reads when its items are asked for."""
        return "request_times" in self.recommender.retriever.columns

    @cached_property
    def reads_time(self) -> bool:
        """Whether the model requires the times of events."""
        return "timestamps" in self.recommender.retriever.columns

    @cached_property
    def example_history(self) -> dict[str, Any]:
        """A history that the model can answer, as part of a request."""
        item_ids = self.item_ids[:3]
        found: dict[str, Any] = {"history": item_ids}
        if self.reads_time:
            first = datetime(2025, 11, 24, tzinfo=UTC)
            found["timestamps"] = [(first + timedelta(hours=hour)).isoformat() for hour in range(len(item_ids))]
        if self.reads_at:
            found["at"] = "2025-11-26T08:00:00+00:00"
        labels = [name for name in self.further_columns if is_label(name)]
        return {**found, "columns": {name: [None] * len(item_ids) for name in labels}} if labels else found

    def unknown_items(self, histories: Sequence[Sequence[str | int]]) -> list[list[str]]:
        """Return the items of each history that the model does not know."""
        found = []
        for history in histories:
            names = list(map(id_text, history))
            token_ids = self.recommender.tokenizer.look_up(names)
            found.append([name for name, token_id in zip(names, token_ids, strict=True) if token_id == UNK_ID])
        return found

    def description(self) -> dict[str, Any]:
        """Describe the model, for `/model`."""
        recommender = self.recommender
        config, items = recommender.model.config, recommender.items
        return {
            "name": self.name,
            "version": self.version,
            "weights_sha256": self.weights_sha256,
            "model_type": config.model_type,
            "loaded_at": self.loaded_at,
            "num_items": len(items),
            "num_hidden_items": int(items.is_hidden.sum()),
            "reads": {
                "timestamps": self.reads_time,
                "at": self.reads_at,
                "columns": self.further_columns,
                "max_history_length": config.max_history_length,
            },
            "tasks": list(config.label_tasks),
            "protocol": recommender.protocol,
        }


def load_model_to_serve(model: str, *, device: Any) -> LoadedModel:
    """Load a folder or repository, and answer a first request, so that nothing is left to be prepared.

    Raises:
        SeqrecError: As in `Recommender.from_pretrained`.
    """
    recommender = Recommender.from_pretrained(model, device=device)
    own_weights(recommender)
    version, weights = version_of(model), (recommender.metrics or {}).get(WEIGHTS_SHA256)
    if version is not None:
        weights = weights_sha256(model)
    name = Path(model).resolve().name if version else model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recommender.recommend([[]], 1)
    return LoadedModel(recommender, name, version or (weights or "unknown")[:VERSION_LENGTH], weights, now())


def own_weights(recommender: Recommender) -> None:
    """Copy a model's weights into memory of this process.

    Loaded weights may be views of the file. If that is overwritten in place, as `cp` does, answers would change without
    notice, or the process would be killed.
    """
    for tensor in (*recommender.model.parameters(), *recommender.model.buffers()):
        tensor.data = tensor.data.clone()
    recommender.retriever = recommender.make_retriever()


def now() -> str:
    """Return the time in UTC, as ISO text to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
