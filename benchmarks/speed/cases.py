"""The cases: their contenders and the ratios to report. Nothing here runs anything."""

import os
from pathlib import Path
from typing import Any

from specs import (
    BEAUTY,
    HSTU,
    LARGE_BUFFERS,
    NARROW,
    PRECISIONS,
    SAMPLED,
    WIDE,
    Case,
    Contender,
    Quantity,
    Ratio,
    Settings,
    curve_point,
    gpt2,
    rectools,
    replay,
    retrieval,
    seqrec,
    trained_to_best,
    with_features,
)

BUFFERED = {"RecTools float32, large buffers": False, "RecTools bf16, large buffers": True}
RECTOOLS, REPLAY, GPT2 = (
    ("RecTools float32", "RecTools bf16"),
    ("RePlay float32", "RePlay float32, bucketed", "RePlay bf16"),
    ("GPT-2 float32", "GPT-2 bf16"),
)

AGAINST_RECTOOLS = (
    Ratio("float32 against RecTools float32", "seqrec float32", ("RecTools float32",)),
    Ratio("bf16 against RecTools' better precision", "seqrec bf16", RECTOOLS),
)

TRAIN_ML_1M = Case(
    name="train-ml-1m",
    title="Training, full softmax, MovieLens-1M, length 200",
    unit="targets",
    data="ml-1m",
    contenders=(
        *(seqrec(f"seqrec {name}", length=200, bf16=bf16, **NARROW) for name, bf16 in PRECISIONS.items()),
        *(rectools(f"RecTools {name}", length=200, bf16=bf16) for name, bf16 in PRECISIONS.items()),
        *(rectools(name, length=200, bf16=bf16, variables=LARGE_BUFFERS) for name, bf16 in BUFFERED.items()),
        *(replay(f"RePlay {name}", bf16=bf16) for name, bf16 in PRECISIONS.items()),
        replay("RePlay float32, bucketed", bucket_size=16),
        *(seqrec(f"seqrec wide {name}", length=200, bf16=bf16, **WIDE) for name, bf16 in PRECISIONS.items()),
        *(gpt2(f"GPT-2 {name}", bf16=bf16) for name, bf16 in PRECISIONS.items()),
        seqrec("matrix products alone", length=200, worker="floor", **NARROW),
    ),
    ratios=(
        *AGAINST_RECTOOLS,
        Ratio("bf16 against RecTools with large buffers, better precision", "seqrec bf16", tuple(BUFFERED)),
        Ratio("float32 against RePlay float32", "seqrec float32", ("RePlay float32", "RePlay float32, bucketed")),
        Ratio("bf16 against RePlay's better precision", "seqrec bf16", REPLAY),
        Ratio("float32 against GPT-2 float32", "seqrec wide float32", ("GPT-2 float32",)),
        Ratio("bf16 against GPT-2's better precision", "seqrec wide bf16", GPT2),
        Ratio(
            "float32 as a share of its matrix products' speed",
            "seqrec float32",
            ("matrix products alone",),
            against_peers=False,
        ),
    ),
    notes=(
        "Feed-forward layers: 64 wide with ReLU, as in RecTools and RePlay; 256 wide with GELU (“wide”) against GPT-2.",
        "RecTools and RePlay also apply dropout to attention weights; seqrec and GPT-2 run without it.",
    ),
)

TRAIN_BEAUTY = Case(
    name="train-beauty",
    title="Training, full softmax, Amazon Beauty, length 50",
    unit="targets",
    data="amazon-beauty",
    contenders=(
        *(seqrec(f"seqrec {name}", length=50, bf16=bf16, **NARROW) for name, bf16 in PRECISIONS.items()),
        *(rectools(f"RecTools {name}", length=50, bf16=bf16) for name, bf16 in PRECISIONS.items()),
    ),
    ratios=AGAINST_RECTOOLS,
)

TRAIN_SAMPLED = Case(
    name="train-sampled-ml-1m",
    title="Training, 256 negatives, MovieLens-1M, length 200",
    unit="targets",
    data="ml-1m",
    contenders=(
        *(seqrec(f"seqrec {name}", length=200, bf16=bf16, **NARROW, **SAMPLED) for name, bf16 in PRECISIONS.items()),
        *(rectools(f"RecTools {name}", length=200, bf16=bf16, negatives=256) for name, bf16 in PRECISIONS.items()),
    ),
    ratios=AGAINST_RECTOOLS,
    notes=("seqrec shares negatives within a batch; RecTools draws separate ones for each target.",),
)


def train_hstu(name: str, title: str, *, ours: Settings, theirs: Settings) -> Case:
    """Measure training of HSTU on MovieLens-1M, with equal biases of attention."""
    peer = {"length": 200, "model_type": "hstu", "similarity_module_kwargs": {"distance": "dot"}, **theirs}
    return Case(
        name=name,
        title=title,
        unit="targets",
        data="ml-1m",
        contenders=(
            *(seqrec(f"seqrec {name}", length=200, bf16=bf16, **HSTU, **ours) for name, bf16 in PRECISIONS.items()),
            *(rectools(f"RecTools {name}", bf16=bf16, **peer) for name, bf16 in PRECISIONS.items()),
            *(rectools(name, bf16=bf16, variables=LARGE_BUFFERS, **peer) for name, bf16 in BUFFERED.items()),
        ),
        ratios=(
            *AGAINST_RECTOOLS,
            Ratio("bf16 against RecTools with large buffers, better precision", "seqrec bf16", tuple(BUFFERED)),
        ),
        notes=("Scores are dot products, and dropout does not apply to attention weights, in both libraries.",),
    )


TRAIN_HSTU = (
    train_hstu(
        "train-hstu-ml-1m",
        "Training, HSTU with relative positions, full softmax, MovieLens-1M, length 200",
        ours={"position_embedding_type": "relative"},
        theirs={"use_pos_emb": False, "relative_pos_attention": True, "relative_time_attention": False},
    ),
    train_hstu(
        "train-hstu-times-ml-1m",
        "Training, HSTU with relative positions and times, full softmax, MovieLens-1M, length 200",
        ours={"position_embedding_type": "relative", "time_encoding": "relative", "request_time": "target"},
        theirs={"use_pos_emb": False, "relative_pos_attention": True, "relative_time_attention": True},
    ),
)

RANK = Case(
    name="rank-ml-1m",
    title="Ten unseen items for each of 6,040 users, MovieLens-1M",
    unit="users",
    data="ml-1m",
    warm_up=1,
    count=1,
    contenders=(
        seqrec("seqrec", length=200, task="rank", **NARROW),
        rectools("RecTools", length=200, task="rank"),
    ),
    ratios=(Ratio("users a second against RecTools", "seqrec", ("RecTools",)),),
    notes=("In this time, seqrec also ranks each user's held-out item.",),
)

REQUEST_TIMES: tuple[tuple[str, Quantity], ...] = (("median time", "p50_ms"), ("95th percentile", "p95_ms"))

QUALITIES: tuple[tuple[str, Quantity], ...] = (
    ("validation NDCG@10", "validation_ndcg@10"),
    ("test NDCG@10", "test_ndcg@10"),
)

REPLAY_ROUTES = {"RePlay": "predict", "RePlay's module": "module"}

REQUEST = Case(
    name="request",
    title="One history of 50 items, ten recommendations, MovieLens-1M",
    unit="requests",
    data="ml-1m",
    warm_up=10,
    count=50,
    shown=("p50_ms", "p95_ms"),
    contenders=(
        seqrec("seqrec", length=200, task="request", threads=1, history_length=50, **NARROW),
        *(rectools(f"RecTools, threads: {threads}", length=200, task="request", threads=threads) for threads in (1, 2)),
        *(
            replay(f"{name}, threads: {threads}", task="request", route=route, threads=threads)
            for name, route in REPLAY_ROUTES.items()
            for threads in (1, 2)
        ),
    ),
    ratios=tuple(
        Ratio(f"{text} against {peer}", "seqrec", (f"{peer}, threads: 1", f"{peer}, threads: 2"), quantity)
        for peer in ("RecTools", *REPLAY_ROUTES)
        for text, quantity in REQUEST_TIMES
    ),
    notes=("“RePlay's module” is not a public call: its module, filter and top ten are combined by hand.",),
)

RETRIEVE = Case(
    name="retrieve-1m",
    title="Ten best of 1,000,000 items for batches of 32 users",
    unit="users",
    contenders=(
        retrieval("naive, threads: 1", "naive", threads=1),
        retrieval("seqrec exact, threads: 1", "exact", threads=1),
        retrieval("seqrec ivf, threads: 1", "ivf", threads=1),
        retrieval("naive, threads: 2", "naive", threads=2),
        retrieval("seqrec exact, threads: 2", "exact", threads=2),
        retrieval("seqrec ivf, threads: 2", "ivf", threads=2),
    ),
    ratios=tuple(
        Ratio(
            f"{index} against torch.topk of all scores, threads: {threads}",
            f"seqrec {index}, threads: {threads}",
            (f"naive, threads: {threads}",),
        )
        for index in ("exact", "ivf")
        for threads in (1, 2)
    ),
    notes=("Vectors of dimension 64, clustered around 1,000 centres.",),
)

MEMORY = Case(
    name="memory-54k",
    title="Memory after 20 training steps, full softmax over 54,542 items, length 50",
    unit="targets",
    data="amazon-beauty-54k",
    warm_up=1,
    count=19,
    rounds=1,
    together=False,
    shown=("peak_mib", "growth_mib", "speed"),
    contenders=(seqrec("seqrec float32", length=50, **NARROW), rectools("RecTools float32", length=50)),
    ratios=(
        Ratio("peak memory against RecTools", "seqrec float32", ("RecTools float32",), "peak_mib"),
        Ratio("growth from before training, against RecTools", "seqrec float32", ("RecTools float32",), "growth_mib"),
    ),
)

MILLION = Case(
    name="million-items",
    title="Training over 1,000,000 items, 256 negatives, length 50",
    unit="targets",
    count=10,
    rounds=3,
    together=False,
    shown=("speed", "peak_mib", "step_ms"),
    contenders=(
        seqrec(
            "seqrec float32",
            length=50,
            **WIDE,
            **SAMPLED,
            synthetic={"num_users": 20_000, "num_items": 10**6, "length": 51},
        ),
    ),
    notes=("Synthetic histories with items drawn by Zipf's law.",),
)

CURVES = Case(
    name="curves",
    title="How speed and memory change with length, catalogue and depth",
    unit="targets",
    rounds=3,
    warm_up=1,
    together=False,
    shown=("speed", "peak_mib"),
    contenders=(
        *(curve_point("length", length, length=length) for length in (50, 100, 200, 400, 1000)),
        *(
            curve_point("items, full softmax", items, items=items, length=50)
            for items in (3_000, 10_000, 30_000, 100_000)
        ),
        *(
            curve_point("items, 256 negatives", items, items=items, length=50, **SAMPLED)
            for items in (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
        ),
        *(curve_point("blocks", depth, depth=depth) for depth in (1, 2, 4, 8)),
    ),
    notes=(
        "Float32. Length 200, 3,400 items and 2 blocks unless stated otherwise; length 50 for the catalogue curves.",
    ),
)


IDS_BY_WIDTH = {
    width: seqrec(f"ids, width {width}", length=50, threads=1, hidden_size=width, **BEAUTY) for width in (256, 64)
}
BEAUTY_ITEMS = ("amazon-beauty", ["attributes", "look"])
TRAIN_FEATURES = Case(
    name="features-train-beauty",
    title="Training with item features, full softmax, Amazon Beauty, length 50, bf16",
    unit="targets",
    data="amazon-beauty",
    count=4,
    shown=("speed", "cpu_seconds"),
    contenders=(
        *IDS_BY_WIDTH.values(),
        *(with_features(ids, f"features, width {width}", *BEAUTY_ITEMS) for width, ids in IDS_BY_WIDTH.items()),
    ),
    ratios=tuple(
        Ratio(
            f"width {width}: with features, as a share of the speed with ids alone, by processor time",
            f"features, width {width}",
            (f"ids, width {width}",),
            "cpu_seconds",
            against_peers=False,
        )
        for width in IDS_BY_WIDTH
    ),
    notes=(
        "The recipe `sasrec-beauty`. Features: the items' attributes, and random vectors of dimension 384; "
        "ids bounded.",
    ),
)

ML_1M_ITEMS = ("ml-1m", ["genres", "age", "look"])
IDS_BY_LENGTH = {
    length: seqrec(f"ids, {length} items", length=200, task="request", threads=1, history_length=length, **NARROW)
    for length in (5, 50)
}
REQUEST_FEATURES = Case(
    name="features-request",
    title="One history, ten recommendations by items with features, MovieLens-1M",
    unit="requests",
    data="ml-1m",
    warm_up=10,
    count=100,
    shown=("p50_ms", "p95_ms"),
    contenders=(
        *IDS_BY_LENGTH.values(),
        *(with_features(ids, f"features, {length} items", *ML_1M_ITEMS) for length, ids in IDS_BY_LENGTH.items()),
    ),
    ratios=tuple(
        Ratio(
            f"{length} items: speed of a median request with features, as a share of that with ids alone",
            f"features, {length} items",
            (f"ids, {length} items",),
            "p50_ms",
            against_peers=False,
        )
        for length in IDS_BY_LENGTH
    ),
    notes=("Features: genres, a number, and random vectors of dimension 384.",),
)

EXPORTS = {
    "torch": {},
    "onnx": {"export": {"format": "onnx"}},
    "onnx, int8": {"export": {"format": "onnx", "quantise": "int8"}},
    "openvino": {"export": {"format": "openvino"}},
}
REQUEST_EXPORTS = Case(
    name="export-request",
    title="One history of 50 items, ten recommendations by exported graphs, MovieLens-1M, one thread",
    unit="requests",
    data="ml-1m",
    warm_up=10,
    count=100,
    shown=("p50_ms", "p95_ms"),
    contenders=tuple(
        seqrec(name, length=200, task="request", threads=1, history_length=50, hidden_size=128, **export)
        for name, export in EXPORTS.items()
    ),
    ratios=tuple(
        Ratio(f"{name}: median time of a request against torch", name, ("torch",), "p50_ms", against_peers=False)
        for name in list(EXPORTS)[1:]
    ),
    by_default=False,
    notes=("Models of width 128 with two layers, by `recommend`. Needs the extras [onnx] and [openvino].",),
)

ADD_ITEMS = Case(
    name="features-add-items",
    title="Adding 10,000 items with features to a recommender, MovieLens-1M",
    unit="items",
    data="ml-1m",
    warm_up=1,
    count=1,
    shown=("seconds", "cpu_seconds"),
    contenders=(
        with_features(
            seqrec("seqrec", length=200, task="add_items", threads=1, hidden_size=128, new_items=10_000),
            "seqrec",
            *ML_1M_ITEMS,
        ),
    ),
    notes=("Width 128. Features: genres, a number, and random vectors of dimension 384.",),
)

LISTS = {
    "vectors, mmr": {"diversity": 0.3},
    "vectors, dpp": {"diversity": 0.3, "method": "dpp"},
    "genres, mmr": {"diversity": 0.3, "diversify_by": "genres"},
    "genres, calibrated": {"diversity": 0.3, "diversify_by": "genres", "method": "calibrated"},
    "at most 3 of a genre": {"max_per": {"genres": 3}},
    "less popular": {"popularity_penalty": 0.3},
    "drawn": {"exploration": 0.5, "seed": 0},
}


def diverse_lists(name: str, title: str, unit: str, quantity: Quantity, text: str, **more: Any) -> Case:
    """Compare diverse lists, ten of the 100 best items, with the ten best items."""
    settings = {"length": 200, "threads": 1, "worker": "seqrec_lists", **more.pop("settings"), **NARROW}
    return Case(
        name=name,
        title=title,
        unit=unit,
        data="ml-1m",
        contenders=(
            seqrec("the best items", lists={}, **settings),
            *(seqrec(lists, lists=options, **settings) for lists, options in LISTS.items()),
        ),
        ratios=tuple(Ratio(f"{text}: {lists}", lists, ("the best items",), quantity, False) for lists in LISTS),
        **more,
    )


DIVERSITY = (
    diverse_lists(
        "diversity-frame",
        "Ten of the 100 best items for each of 6,040 users, MovieLens-1M",
        "users",
        "cpu_seconds",
        "users a second as a share of that without, by processor time",
        settings={"task": "frame"},
        warm_up=1,
        count=1,
        shown=("seconds", "cpu_seconds"),
    ),
    diverse_lists(
        "diversity-request",
        "One history of 50 items, ten of the 100 best items, MovieLens-1M",
        "requests",
        "p50_ms",
        "speed of a median request as a share of that without",
        settings={"task": "request", "history_length": 50},
        warm_up=10,
        count=100,
        shown=("p50_ms", "p95_ms"),
    ),
)


def time_to_quality(recipe: Path, quality: float, limit: float) -> Case:
    """Measure the time from the table on disk to a given validation NDCG@10 on MovieLens-1M."""
    settings = {"quality": quality, "limit_seconds": limit}
    peer = rectools("RecTools", length=200, bf16=True).settings
    return Case(
        name="time-to-quality",
        title=f"From the table to validation NDCG@10 of {quality:g}, MovieLens-1M",
        unit="epochs",
        data="ml-1m",
        warm_up=0,
        count=1,
        rounds=1,
        together=False,
        by_default=False,
        shown=("seconds", "cpu_seconds"),
        contenders=(
            Contender("seqrec", "seqrec_quality", "train", {**settings, "recipe": os.path.relpath(recipe)}),
            Contender(
                "RecTools",
                "rectools_quality",
                "train",
                {**settings, **peer},
                environment="rectools",
                variables=LARGE_BUFFERS,
            ),
        ),
        ratios=(
            Ratio("time against RecTools", "seqrec", ("RecTools",), "seconds"),
            Ratio("processor time against RecTools", "seqrec", ("RecTools",), "cpu_seconds"),
        ),
    )


def hstu_quality(data: str, title: str, **filters: int) -> Case:
    """Measure test NDCG@10 of HSTU, told the time of the request, after a global split in time."""
    training = {"batch_size": 32, "epochs": 20}
    ours = {"length": 100, "time_encoding": "relative", "request_time": "target", **HSTU}
    theirs = {"length": 100, "model_type": "hstu"}
    products = {"similarity_module_kwargs": {"distance": "dot"}}
    cosines = {"lightning_module_kwargs": {"logits_t": 0.05}}
    peers = ("RecTools, dot products", "RecTools, cosines")
    return Case(
        name=f"hstu-quality-{data}",
        title=title,
        unit="epochs",
        data=data,
        split={"split_method": "temporal", **filters},
        report="quality",
        warm_up=0,
        count=1,
        rounds=3,
        together=False,
        by_default=False,
        shown=("validation_ndcg@10", "test_ndcg@10", "train_seconds"),
        contenders=(
            trained_to_best(seqrec("seqrec", **ours), **training),
            trained_to_best(rectools("RecTools, dot products", **theirs, **products), **training),
            trained_to_best(rectools("RecTools, cosines", **theirs, **cosines), **training),
        ),
        ratios=tuple(
            Ratio(f"{text} against RecTools' better scores", "seqrec", peers, quantity) for text, quantity in QUALITIES
        ),
        notes=(
            "Both libraries: 64 wide, 2 layers, 2 heads, dropout 0.2, full softmax, length 100, batches of 32 users, "
            "20 epochs at a constant learning rate of 0.001, float32. RecTools' cosines are multiplied by 20.",
            "Both train on the newest 101 events of each user, as RecTools does; by itself, seqrec trains on "
            "all. Both are told the time of the request. Targets are ranked among the items that occur in training, "
            "without those of the history; other targets are misses.",
        ),
    )


HSTU_QUALITY = (
    hstu_quality("ml-100k", "HSTU, MovieLens-100K, global split in time"),
    hstu_quality(
        "movietweetings-100k",
        "HSTU, MovieTweetings-100K, 5-core, global split in time",
        min_user_interactions=5,
        min_item_interactions=5,
    ),
)

CASES = (
    *(TRAIN_ML_1M, TRAIN_SAMPLED, TRAIN_BEAUTY, *TRAIN_HSTU, RANK, REQUEST, MEMORY, RETRIEVE, MILLION, CURVES),
    *(TRAIN_FEATURES, REQUEST_FEATURES, REQUEST_EXPORTS, ADD_ITEMS),
    *DIVERSITY,
    *HSTU_QUALITY,
)
