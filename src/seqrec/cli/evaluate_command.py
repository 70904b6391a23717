"""`seqrec evaluate`."""

import sys
import warnings
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from seqrec.cli.console import json_text
from seqrec.cli.model_flags import add_model_flags
from seqrec.cli.output import WRITERS, require_output_file, write_frame
from seqrec.cli.parsers import DataclassParser, not_empty
from seqrec.evaluation.evaluator import Ranking, rank_dataset
from seqrec.evaluation.rank_tables import ranks_table
from seqrec.evaluation.report import LIST_LENGTH, measure
from seqrec.evaluation.tables import metrics_table, terminal_width
from seqrec.hub.saved_folder import read_protocol
from seqrec.inference.recommender import Recommender
from seqrec.interactions.column_names import remembered_columns
from seqrec.interactions.histories import as_histories
from seqrec.interactions.preparation import HELD_OUT, SPLIT_FIELDS, DataArguments, prepare
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.modeling.devices import resolve_device

__all__ = ["evaluate_command"]


def evaluate_command(argv: Sequence[str]) -> None:
    """`seqrec evaluate`."""
    parser = DataclassParser(
        [DataArguments],
        prog="seqrec evaluate",
        description="Evaluate a saved model on held-out interactions, split as in training unless flags say otherwise.",
    )
    add_model_flags(parser)
    parser.add_argument("--split", choices=HELD_OUT, default="test", help="Held-out split (default: test).")
    parser.add_argument("--include_seen", action="store_true", help="Allow items in the history to be recommended.")
    parser.add_argument("--json", action="store_true", help="Print all metrics as JSON instead of the table.")
    parser.add_argument(
        "--ranks", type=not_empty, help=f"File for the rank of each user's held-out item ({', '.join(WRITERS)})."
    )
    with parser.naming_flags():
        protocol = read_protocol(parser.parse_known_args(argv)[0].model)
        split_as_trained(parser, argv, protocol)
        data_arguments, rest = parser.parse_all(argv)
        if rest.ranks is not None:
            sources = {"--dataset": data_arguments.dataset, "--items": data_arguments.items}
            require_output_file(rest.ranks, model=rest.model, sources=sources, flag="--ranks")
        recommender = Recommender.from_pretrained(rest.model, device=resolve_device(rest.device))
        data = prepare(
            data_arguments,
            recommender.tokenizer,
            remembered=remembered_columns(protocol),
            held_out=[rest.split],
            event_columns=recommender.model.config.event_columns,
        )
        if protocol.get("split_sha256") not in (None, data.protocol["split_sha256"]):
            warnings.warn(
                "These interactions, or their split, differ from those in training. If they overlap, the model may "
                "have been trained on interactions that it is now evaluated on.",
                stacklevel=2,
            )
        exclude_seen = protocol.get("exclude_seen", True) and not rest.include_seen
        figures, ranking = measure_saved(recommender, data, rest.split, exclude_seen=exclude_seen)
        if rest.ranks is not None:
            write_frame(ranks_table(ranking, as_histories(data.sequences[rest.split]), recommender.items), rest.ranks)
    print(json_text(figures, indent=2) if rest.json else metrics_table(figures, width=terminal_width(sys.stdout)))


def split_as_trained(parser: DataclassParser, argv: Sequence[str], protocol: dict[str, Any]) -> None:
    """Make the model's own split the default, which flags override."""
    defaults = {field.name: field.default for field in fields(DataArguments) if field.name != "dataset"}
    parser.set_defaults(**{name: value for name, value in protocol.items() if name in defaults})
    if parser.parse_known_args(argv)[0].split_method != protocol.get("split_method"):  # its settings do not apply then
        parser.set_defaults(**{name: defaults[name] for name in set().union(*SPLIT_FIELDS.values())})


def measure_saved(
    recommender: Recommender, data: PreparedData, split: str, *, exclude_seen: bool
) -> tuple[dict[str, Any], Ranking]:
    """Evaluate on one split, in the same way as the training; return the figures and the model's ranking."""
    ranking = rank_dataset(
        recommender.model,
        data.sequences[split],
        max_length=recommender.model.config.max_history_length,
        exclude_seen=exclude_seen,
        list_length=LIST_LENGTH,
        progress=sys.stderr.isatty(),
    )
    return measure(lambda _: ranking, data, exclude_seen=exclude_seen, splits=[split]), ranking
