"""The model card: what a saved model is, how it was made and how good it is, told from its folder."""

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from safetensors import safe_open

from seqrec.data.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.hub.card_tables import (
    ACCURACY,
    ENCODERS,
    SPLITS,
    accuracy_table,
    catalogue_table,
    dig,
    fields_table,
    is_known,
    label,
    slice_table,
    without_folders,
)

TAGS = ("sequential-recommendation", "recommender-system", "next-item-prediction")
TASK = "sequential-recommendation"
NUM_USAGE_ITEMS = 3
CURVE = "training_curve.png"
SLICES = {"history_length": "length of the history", "target_popularity": "popularity of the held-out item"}
# Of config.json, what tells how it was saved, not what the model is.
BOOKKEEPING = {"architectures", "auto_map", "custom_pipelines", "dtype", "model_type", "transformers_version"}
# Flags whose value must never be published; argparse takes them abbreviated too (`--hub_tok`).
SECRET_FLAG = re.compile(r"--[\w-]*(hub[-_]t|token$)")


@dataclass(frozen=True)
class Architecture:
    """What to call a `model_type`, how to introduce it, and whom to cite."""

    name: str
    summary: str
    citation: str


ARCHITECTURES = {
    "sasrec": Architecture(
        name="SASRec",
        summary="a causal Transformer over the items of a user's history (Kang & McAuley, ICDM 2018)",
        citation="""@inproceedings{kang2018sasrec,
  title     = {Self-Attentive Sequential Recommendation},
  author    = {Kang, Wang-Cheng and McAuley, Julian},
  booktitle = {IEEE International Conference on Data Mining (ICDM)},
  pages     = {197--206},
  year      = {2018}
}""",
    ),
    "esasrec": Architecture(
        name="eSASRec",
        summary="SASRec with LiGR blocks: gated residuals and SwiGLU layers (Tikhonovich et al., RecSys 2025)",
        citation="""@inproceedings{tikhonovich2025esasrec,
  title     = {eSASRec: Enhancing Transformer-based Recommendations in a Modular Fashion},
  author    = {Tikhonovich, Daria and others},
  booktitle = {ACM Conference on Recommender Systems (RecSys)},
  year      = {2025}
}""",
    ),
    "bert4rec": Architecture(
        name="BERT4Rec",
        summary="a bidirectional Transformer that fills in masked items of a history (Sun et al., CIKM 2019)",
        citation="""@inproceedings{sun2019bert4rec,
  title     = {BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from Transformer},
  author    = {Sun, Fei and Liu, Jun and Wu, Jian and Pei, Changhua and Lin, Xiao and Ou, Wenwu and Jiang, Peng},
  booktitle = {ACM International Conference on Information and Knowledge Management (CIKM)},
  pages     = {1441--1450},
  year      = {2019}
}""",
    ),
}


def save_model_card(folder: str | Path) -> Path:
    """Write a saved model's card, `README.md`, in place of any earlier one.

    It is made from `config.json` and, where they are, `metrics.json`, `items.parquet`, the shapes of the
    weights and `training_curve.png`. What is not there is left out.

    Returns:
        The card's path.

    Raises:
        ValueError: If the folder holds no `config.json`.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no config.json, so there is no model to describe. Save one there first.")
    metrics_file, items_file = folder / "metrics.json", folder / "items.parquet"
    card = build_model_card(
        json.loads(metrics_file.read_text(encoding="utf-8")) if metrics_file.is_file() else {},
        config=json.loads((folder / "config.json").read_text(encoding="utf-8")),
        num_parameters=count_parameters(folder),
        usage_items=first_item_ids(items_file, NUM_USAGE_ITEMS) if items_file.is_file() else [],
        curve=CURVE if (folder / CURVE).is_file() else None,
        model_name=folder.resolve().name,
    )
    card.save(folder / "README.md")
    return folder / "README.md"


def count_parameters(folder: Path) -> int | None:
    """Count the numbers in a folder's weights, from their shapes alone; None where there are no weights."""
    counts = []
    for path in folder.glob("model*.safetensors"):
        with safe_open(path, framework="np") as weights:
            names = weights.keys()
            counts += [math.prod(weights.get_slice(name).get_shape()) for name in names]
    return sum(counts) or None


def first_item_ids(items_file: Path, number: int) -> list[str]:
    """Read the ids of the catalogue's most popular items."""
    return pl.scan_parquet(items_file).select("item_id").head(number).collect()["item_id"].to_list()


def build_model_card(
    metrics: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    num_parameters: int | None,
    usage_items: Sequence[str],
    curve: str | None,
    model_name: str,
) -> ModelCard:
    """Fill the card's template.

    Args:
        metrics: The content of `metrics.json`; what it lacks is left out of the card.
        config: The content of `config.json`.
        num_parameters: The model's size, or None if unknown.
        usage_items: Raw item ids for the usage example, which is left out if there are none.
        curve: File name of the training curve beside the card, or None.
        model_name: Its folder's or repository's name.
    """
    training = metrics.get("training") or {}
    dataset = without_folders(dig(metrics, "protocol", "dataset") or "")
    num_items = config["vocab_size"] - NUM_SPECIAL_TOKENS
    template = files("seqrec.model_cards").joinpath("card_template.md")
    return ModelCard.from_template(
        card_metadata(metrics, dataset=dataset, model_name=model_name, model_type=config["model_type"]),
        template_str=template.read_text(encoding="utf-8"),
        name=model_name,
        quoted_name=quote(model_name),
        quoted_items=quote(list(usage_items)) if usage_items else None,
        k=min(10, num_items),
        config=config,
        architecture=ARCHITECTURES.get(config["model_type"]),
        fields=fields_table(["field", "value"], {name: config[name] for name in config.keys() - BOOKKEEPING}),
        num_items=num_items,
        num_parameters=num_parameters,
        dataset=dataset,
        protocol=metrics.get("protocol") or {},
        lift=lift_over_popularity(metrics),
        accuracy=accuracy_table(metrics),
        has_intervals=bool(dig(metrics, "confidence", "model", "test")),
        catalogue_use=catalogue_table(metrics),
        slices=[found for name, title in SLICES.items() if (found := slice_table(metrics, name, title))],
        curve=curve,
        training=training,
        wall_time=timedelta(seconds=round(training["seconds"])) if is_known(training.get("seconds")) else None,
        arguments=fields_table(["argument", "value"], training.get("arguments") or {}),
        command=portable_command(training.get("command") or ""),
    )


def card_metadata(metrics: Mapping[str, Any], *, dataset: str, model_name: str, model_type: str) -> ModelCardData:
    """Make the metadata, with the model's measured accuracy as `model-index` if the data set has a name."""
    found = {(split, name): dig(metrics, "model", split, name) for split in SPLITS for name in ACCURACY}
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=split,
            metric_type=name,
            metric_name=label(name),
            metric_value=value,
        )
        for (split, name), value in found.items()
        if dataset and is_known(value)
    ]
    return ModelCardData(
        library_name="seqrec",
        tags=[*TAGS, model_type],
        eval_results=results or None,
        model_name=model_name if results else None,  # belongs to the results
    )


def lift_over_popularity(metrics: Mapping[str, Any]) -> float | None:
    """Return how many times popularity's NDCG@10 on test the model's is; None if that cannot be told."""
    model, popularity = (dig(metrics, encoder, "test", "ndcg@10") for encoder in ENCODERS)
    if not (is_known(model) and is_known(popularity) and popularity > 0):
        return None
    return model / popularity


def portable_command(command: str) -> str:
    """Leave a machine's folders and access tokens out of a command line; return nothing for what is none."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    told: list[str] = []
    awaits_secret = False
    for word in words:
        flag, equals, value = word.partition("=")
        is_secret_flag = SECRET_FLAG.match(flag) is not None
        is_secret_value = awaits_secret and not word.startswith("--")
        if not is_secret_flag and not is_secret_value:
            told.append(f"{without_folders(flag)}{equals}{without_folders(value)}")
        awaits_secret = is_secret_flag and not equals
    return shlex.join(told)


def quote(value: Any) -> str:
    """Write a text, or a list of them, as Python source."""
    return json.dumps(value, ensure_ascii=False)
