"""Write the model card of a saved model from the files in its folder."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from seqrec.configuration.config_fields import Purpose, names_for
from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.errors import InputError, SavedFolderError
from seqrec.evaluation.baseline_warning import baseline_warning
from seqrec.evaluation.tables import RANKERS
from seqrec.hub.card_features import features_table
from seqrec.hub.card_metadata import card_metadata, is_repository_name
from seqrec.hub.card_samples import samples_table
from seqrec.hub.card_tables import (
    catalogue_table,
    dig,
    fields_table,
    other_lengths_on_test,
    results_on_test,
    results_on_validation,
    slice_table,
    without_folders,
)
from seqrec.hub.card_tasks import task_sections
from seqrec.hub.card_usage import usage_times
from seqrec.hub.card_values import (
    defaults_of,
    is_count,
    is_known,
    is_text,
    mapping,
    protocol_of,
    training_of,
    tuning_of,
)
from seqrec.hub.json_objects import MEND, broken, read_json_object
from seqrec.hub.markdown import code, fenced, python, text
from seqrec.hub.portable_command import language_of, portable_command
from seqrec.hub.weights_hash import belongs_to, weight_files
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.interactions.whole_files import write_text_whole
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.modeling.saved_items import ITEMS
from seqrec.modeling.weight_files import read_tensors

__all__ = ["CURVE", "ITEM_MAP", "METRICS", "RELIABILITY_PICTURE", "SLICES_PICTURE", "save_model_card"]

NUM_USAGE_ITEMS = 3
METRICS = "metrics.json"
CURVE = "training_curve.png"
SLICES_PICTURE = "slices.png"
RELIABILITY_PICTURE = "reliability.png"
ITEM_MAP = "item_map.png"
HOME_PAGE = "https://github.com/seqrec/seqrec"
DATA_SETS = "https://huggingface.co/datasets/"
SLICES = {
    "history_length": "Length of the history",
    "short_history": "Short histories",
    "target_popularity": "Popularity of the held-out item",
    "target_count": "Training interactions of the held-out item",
}
# Purposes of the configuration fields that the card shows; those of negative sampling only if they are used.
SHOWN: tuple[Purpose, ...] = ("data", "architecture", "parts", "loss", "training")
# The baselines that the card's first sentence on results names, in this order.
BASELINES = {
    "item_knn": "item-kNN",
    "recent_popularity": "recommending what was most popular in the 7 days before the request",
    "popularity": "recommending the most popular items to everyone",
}
RESULTS = (results_on_test, other_lengths_on_test, results_on_validation)


def save_model_card(
    folder: str | Path, *, repo_id: str | None = None, license: str | None = None, base_model: str | None = None
) -> Path:
    """Write a saved model's card, `README.md`, replacing any earlier one.

    It is made from `config.json` and, if they exist, `metrics.json`, `items.parquet`, the shapes of the weights and
    the pictures `training_curve.png`, `slices.png`, `reliability.png` and `item_map.png`. Sections without data are
    left out.

    Args:
        folder: The saved model's folder.
        repo_id: The repository that the card names; the folder's name if None.
        license: The model's license, by its identifier on the Hub; that in `metrics.json` if None.
        base_model: The repository on the Hub whose model was fine-tuned; that in `metrics.json` if None.

    Returns:
        The card's path.

    Raises:
        SavedFolderError: If the folder holds no `config.json`, or a broken JSON file.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise SavedFolderError(
            f"{folder} holds no config.json, so there is no model to describe. Save one there first."
        )
    metrics_file, items_file = folder / METRICS, folder / ITEMS
    metrics = read_json_object(str(metrics_file)) if metrics_file.is_file() else {}
    is_own = belongs_to(metrics, weight_files(folder), str(folder))
    metrics = metrics if is_own else {}
    config = read_json_object(str(folder / "config.json"))
    if not is_count(config.get("vocab_size")) or config["vocab_size"] <= NUM_SPECIAL_TOKENS:
        raise broken(str(folder / "config.json"), f"has the invalid vocab_size {config.get('vocab_size')!r}")
    if not is_text(config.get("model_type")):
        raise broken(str(folder / "config.json"), f"has the invalid model_type {config.get('model_type')!r}")
    stated = {name: value for name, value in (("license", license), ("base_model", base_model)) if value}
    card = build_model_card(
        {**metrics, "training": {**mapping(metrics.get("training")), **stated}},
        config=config,
        num_parameters=count_parameters(folder),
        item_features=features_table(folder, config),
        usage_items=first_item_ids(items_file, NUM_USAGE_ITEMS) if items_file.is_file() else [],
        curve=CURVE if is_own and (folder / CURVE).is_file() else None,
        slices_picture=SLICES_PICTURE if is_own and (folder / SLICES_PICTURE).is_file() else None,
        reliability_picture=RELIABILITY_PICTURE if is_own and (folder / RELIABILITY_PICTURE).is_file() else None,
        item_map=ITEM_MAP if is_own and (folder / ITEM_MAP).is_file() else None,
        model_name=repo_id.rpartition("/")[2] if repo_id else folder.resolve().name,
        load_from=repo_id,
    )
    write_text_whole(folder / "README.md", str(card))
    return folder / "README.md"


def count_parameters(folder: Path) -> int | None:
    """Count the parameters in a folder's weights, from their shapes alone; None if there are no weights."""
    return sum(tensor.size for path in weight_files(folder) for tensor in read_tensors(path).values()) or None


def first_item_ids(items_file: Path, number: int) -> list[str]:
    """Read the ids of the catalogue's most popular items.

    Raises:
        SavedFolderError: If the file is not a catalogue.
    """
    try:
        items = Catalogue.load(items_file)
    except InputError as error:
        raise SavedFolderError(f"{error} {MEND}") from error
    return [items.item_ids[row] for row in rows_of(items.by_popularity()[:number])]


def build_model_card(
    metrics: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    num_parameters: int | None,
    usage_items: Sequence[str],
    curve: str | None,
    slices_picture: str | None = None,
    reliability_picture: str | None = None,
    item_map: str | None = None,
    item_features: str = "",
    model_name: str,
    load_from: str | None = None,
) -> ModelCard:
    """Fill the card's template.

    Args:
        metrics: The content of `metrics.json`; sections without data are left out of the card.
        config: The content of `config.json`.
        num_parameters: Number of the model's parameters; None if unknown.
        usage_items: Raw item ids for the usage example, which is left out if there are none.
        curve: File name of the training curve in the card's folder, or None.
        slices_picture: File name of the picture of accuracy by slice, or None.
        reliability_picture: File name of the reliability diagram of binary tasks, or None.
        item_map: File name of the map of the items, or None.
        item_features: Table of the features of the items; empty if the model reads none.
        model_name: Name of the folder or repository.
        load_from: The repository that the usage example loads, `"org/name"`; if None, it loads the folder `model_name`.
    """
    training = training_of(metrics)
    protocol = protocol_of(metrics)
    dataset = without_folders(protocol.get("dataset", ""))
    command = portable_command(training.get("command", ""))
    num_items = rows_of(config["vocab_size"])
    tasks = task_sections(metrics)
    results = [found for make in RESULTS if (found := make(metrics))]
    template = files("seqrec.model_cards").joinpath("card_template.md")
    return ModelCard.from_template(
        card_metadata(metrics, dataset=dataset, model_name=model_name, model_type=config["model_type"]),
        template_str=template.read_text(encoding="utf-8"),
        name=model_name,
        text=text,
        code=code,
        quoted_name=python(load_from or model_name),
        place="its repository on the Hub" if load_from else "this folder, or its repository on the Hub",
        quoted_items=python(list(usage_items)) if usage_items else None,
        times={name: python(value) for name, value in usage_times(config, protocol, len(usage_items)).items()},
        k=min(10, num_items),
        config=config,
        architecture=MODEL_TYPES.get(config["model_type"], NextItemConfig),
        fields=fields_table(["Field", "Value"], architecture_fields(config)),
        num_items=num_items,
        item_features=item_features,
        feature_names=list(mapping(config.get("item_features"))),
        items_added=metrics["items_added"] if is_count(metrics.get("items_added")) else 0,
        history_length=history_length(config),
        num_parameters=num_parameters,
        dataset=dataset,
        dataset_page=dataset_page(dataset, protocol),
        home_page=HOME_PAGE,
        protocol=protocol,
        lifts=lifts(metrics),
        baseline_warning=baseline_warning(metrics),
        results=results,
        has_recent_popularity=any(RANKERS["recent_popularity"] in result for result in results),
        has_item_knn=any(RANKERS["item_knn"] in result for result in results),
        has_intervals=any(" to " in result for result in results),
        catalogue_use=catalogue_table(metrics),
        slices=[found for name, title in SLICES.items() if (found := slice_table(metrics, name, title))],
        slices_picture=slices_picture,
        slice_intervals=bool(metrics.get("slice_confidence")),
        tasks=tasks,
        binary_tasks=[task.name for task in tasks if not task.is_rating],
        reliability_picture=reliability_picture,
        item_map=item_map,
        samples=samples_table(metrics),
        curve=curve,
        training=training,
        tuning=tuning_of(metrics),
        defaults=defaults_of(metrics),
        has_trained=bool(training.keys() - {"license", "base_model"}),
        wall_time=timedelta(seconds=round(training["seconds"])) if "seconds" in training else None,
        energy=energy(training.get("estimated_energy", {})),
        arguments=fields_table(["Argument", "Value"], training.get("arguments", {})),
        command=fenced(command, language_of(command)) if command else None,
    )


def dataset_page(dataset: str, protocol: Mapping[str, Any]) -> str | None:
    """Return the address of a data set on the Hub; None for others."""
    return f"{DATA_SETS}{dataset}" if protocol.get("dataset_is_on_hub") and is_repository_name(dataset) else None


def architecture_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Select the fields that distinguish models, omitting options of unused losses."""
    loss = config.get("loss")
    sampling: tuple[Purpose, ...] = () if loss == "cross_entropy" else ("sampling",)
    calibration: tuple[Purpose, ...] = ("calibration",) if loss == "gbce" else ()
    config_class = MODEL_TYPES.get(config["model_type"], NextItemConfig)
    names = names_for(config_class, (*SHOWN, *sampling, *calibration))
    if config.get("time_encoding", "none") == "none":
        names -= {"time_encoding"} if config.get("popularity_windows") else {"request_time", "time_encoding"}
    if not config.get("popularity_windows"):
        names -= {"popularity_windows"}
    if len(config.get("tasks") or ()) <= 1:
        names -= {"tasks", "rating_scale", "past_labels", "task_weights", "task_weighting"}
    if not config.get("item_features"):
        names -= {"item_id_embedding"}
    if config.get("item_id_embedding") != "bounded":
        names -= {"item_id_bound"}
    found = {name: value for name, value in config.items() if name in names}
    return {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in found.items()}


def history_length(config: Mapping[str, Any]) -> int | None:
    """Return how many items of a history the model reads; None if unknown."""
    config_class = MODEL_TYPES.get(config["model_type"], NextItemConfig)
    positions = config.get("max_position_embeddings")
    if not is_count(positions):
        return None
    try:
        return config_class(vocab_size=config["vocab_size"], max_position_embeddings=positions).max_history_length
    except InputError:
        return None


def lifts(metrics: Mapping[str, Any]) -> list[str]:
    """Describe the ratio of the model's NDCG@10 on test to each baseline's, where both are known."""
    found = {name: dig(metrics, name, "test", "ndcg@10") for name in RANKERS}
    model = found["model"]
    return [
        f"**{model / found[name]:.2f} times** that of {description}"
        for name, description in BASELINES.items()
        if is_known(model) and is_known(found[name]) and found[name] > 0
    ]


def energy(estimate: Mapping[str, Any]) -> str:
    """Format an energy in kWh or, if it is small, in Wh; an empty string if it is unknown."""
    kwh = estimate.get("kwh")
    if kwh is None:
        return ""
    return f"{kwh:.2g} kWh" if kwh >= 0.1 else f"{1000 * kwh:.2g} Wh"
