"""Types that describe cases, and the settings of all contenders. Nothing here runs anything."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Settings = dict[str, Any]
# Measured per turn: units per second, milliseconds per step or request, MiB of memory, wall-clock or processor seconds;
# NDCG@10 of the epoch that is best in validation, and the seconds of training without validation.
Quantity = Literal[
    *("speed", "step_ms", "p50_ms", "p95_ms", "peak_mib", "growth_mib", "seconds", "cpu_seconds"),
    *("validation_ndcg@10", "test_ndcg@10", "train_seconds"),
]
ReportName = Literal["speed", "quality"]


@dataclass(frozen=True)
class Contender:
    """One process of a case: a worker, its task, its environment and its settings.

    `threads` defaults to the run's `--threads`. `point` is its position on a curve. `variables` are environment
    variables.
    """

    name: str
    worker: str
    task: str
    settings: Settings
    environment: str = "seqrec"
    threads: int | None = None
    point: int | None = None
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """How many times better `ours` is than the best of `theirs`: higher for a speed, lower for other quantities.

    With `against_peers=False`, the ratio is not a comparison with a peer and is not plotted.
    """

    title: str
    ours: str
    theirs: tuple[str, ...]
    quantity: Quantity = "speed"
    against_peers: bool = True


@dataclass(frozen=True)
class Case:
    """A comparison.

    `together`: whether all contenders run at once and take turns, or one after the other with the machine to itself.
    `count`: steps (or requests) per turn; if None, as many as fit into a turn's time. `rounds`: maximum number.
    `split`: fields of `DataArguments` that filter and split the data. `report`: the report that holds its results.
    """

    name: str
    title: str
    unit: str
    contenders: tuple[Contender, ...]
    ratios: tuple[Ratio, ...] = ()
    data: str | None = None
    split: Settings = field(default_factory=dict)
    report: ReportName = "speed"
    warm_up: int = 2
    count: int | None = None
    rounds: int | None = None
    together: bool = True
    by_default: bool = True
    shown: tuple[Quantity, ...] = ("speed",)
    notes: tuple[str, ...] = field(default=())


BATCH_SIZE = 128
PRECISIONS = {"float32": False, "bf16": True}
OF_CONTENDERS = ("threads", "point")
OF_WORKERS = ("synthetic", "features", "history_length", "lists", "new_items", "export")


def seqrec(
    name: str,
    *,
    length: int,
    bf16: bool = False,
    worker: str = "seqrec",
    task: str = "train",
    model_type: str = "sasrec",
    **more: Any,
) -> Contender:
    """This library; `more` holds fields of its configuration, or those in `OF_CONTENDERS` and `OF_WORKERS`."""
    outer = {key: more.pop(key) for key in OF_CONTENDERS if key in more}
    settings: Settings = {"batch_size": BATCH_SIZE, "bf16": bf16, "model_type": model_type}
    settings |= {key: more.pop(key) for key in OF_WORKERS if key in more}
    settings["config"] = {
        "hidden_size": 64,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "hidden_dropout": 0.2,
        "max_position_embeddings": length,
        **more,
    }
    return Contender(name, worker, task, settings, **outer)


NARROW: Settings = {"intermediate_size": 64, "hidden_act": "relu"}  # feed-forward of both peers' SASRec
HSTU: Settings = {"model_type": "hstu", "intermediate_size": 64}  # gates and values as wide as those of RecTools
WIDE: Settings = {"intermediate_size": 256, "hidden_act": "gelu"}  # feed-forward of GPT-2 and this library's default
BEAUTY: Settings = {  # recipes/sasrec-beauty.yaml
    "bf16": True,
    "num_attention_heads": 1,
    "num_hidden_layers": 1,
    "hidden_dropout": 0.5,
    "logit_scale": 20,
}
SAMPLED: Settings = {"loss": "sampled_softmax", "num_negatives": 256}


# Makes glibc keep large buffers instead of returning them to the system after every step, whose page faults cost
# RecTools more than computing its logits. Not a default anywhere, but the best that a peer can do.
LARGE_BUFFERS = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}


def with_features(contender: Contender, name: str, folder: str, wanted: list[str]) -> Contender:
    """The same model, which reads the features of items too and bounds their ids' embeddings."""
    config = {**contender.settings["config"], "item_id_embedding": "bounded"}
    settings = {**contender.settings, "config": config, "features": {"folder": folder, "wanted": wanted}}
    return replace(contender, name=name, settings=settings)


def rectools(
    name: str,
    *,
    length: int,
    bf16: bool = False,
    task: str = "train",
    negatives: int = 0,
    threads: int | None = None,
    variables: dict[str, str] | None = None,
    model_type: str = "sasrec",
    **more: Any,
) -> Contender:
    """RecTools; full softmax if `negatives` is 0; `more` holds arguments of its model."""
    loss = {"loss": "sampled_softmax" if negatives else "softmax", "num_negatives": max(1, negatives)}
    model = {"model_type": model_type, "model": more}
    settings = {"batch_size": BATCH_SIZE, "bf16": bf16, "max_length": length, **loss, **model}
    return Contender(
        name, "rectools", task, settings, environment="rectools", threads=threads, variables=variables or {}
    )


def trained_to_best(contender: Contender, **settings: Any) -> Contender:
    """The same model, trained for a number of epochs with one seed per turn, and tested after its best epoch."""
    return replace(
        contender,
        worker=f"{contender.worker}_quality",
        task="best_epoch",
        settings={**contender.settings, "first_seed": 42, **settings},
    )


def replay(
    name: str,
    *,
    bf16: bool = False,
    bucket_size: int | None = None,
    task: str = "train",
    route: str | None = None,
    threads: int | None = None,
) -> Contender:
    """RePlay; `route` is the way to get recommendations from it."""
    settings = {"batch_size": BATCH_SIZE, "bf16": bf16, "max_length": 200, "bucket_size": bucket_size, "route": route}
    return Contender(name, "replay", task, settings, environment="replay", threads=threads)


def gpt2(name: str, *, bf16: bool) -> Contender:
    """GPT-2 with transformers' own Trainer."""
    config = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_inner": 256, "resid_pdrop": 0.2, "embd_pdrop": 0.2}
    return Contender(
        name, "gpt2", "train", {"batch_size": BATCH_SIZE, "bf16": bf16, "max_length": 200, "config": config}
    )


def retrieval(name: str, method: str, threads: int) -> Contender:
    """Top ten of a million items; a new index needs a `method` in the worker's `retrieve` and two lines here."""
    vectors = {"num_users": 32, "num_items": 10**6, "dim": 64}
    return Contender(name, "seqrec", "retrieve", {"method": method, "vectors": vectors}, threads=threads)


def curve_point(
    axis: str, point: int, *, items: int = 3_400, length: int = 200, depth: int = 2, **more: Any
) -> Contender:
    """One point on a curve, with synthetic histories of full length."""
    synthetic = {"num_users": 4 * BATCH_SIZE, "num_items": items, "length": length + 1}
    return seqrec(
        f"{axis}: {point:,}", length=length, num_hidden_layers=depth, synthetic=synthetic, point=point, **WIDE, **more
    )
