"""`seqrec evaluate`."""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from seqrec.cli.console import json_text
from seqrec.cli.declared_flags import data_flag_names
from seqrec.cli.evaluate_curve import add_curve_flags, check_curve_flags, draw_curve
from seqrec.cli.output import WRITERS, require_output_file, write_frame
from seqrec.cli.parsers import FlagParser, flag_names, not_empty, positive_integer, require_flags
from seqrec.cli.shared_flags import (
    add_device_flag,
    add_import_flag,
    add_model_flag,
    add_quiet_flag,
    asks_for_help,
    check_dataset,
    import_modules,
    value_of,
)
from seqrec.errors import InputError
from seqrec.evaluation.baseline_warning import BASELINE_WARNING, baseline_warning
from seqrec.evaluation.diversity_table import curve_table
from seqrec.evaluation.faithfulness_tables import faithfulness_table
from seqrec.evaluation.period_tables import period_table
from seqrec.evaluation.tables import metrics_table, terminal_width, wrap
from seqrec.evaluation.task_tables import task_tables
from seqrec.interactions.locations import require_model_name

if TYPE_CHECKING:
    from seqrec.cli.dataclass_parser import DataclassParser
    from seqrec.evaluation.evaluator import Ranking
    from seqrec.inference.recommender import Recommender
    from seqrec.interactions.prepared_sets import PreparedData

__all__ = ["evaluate_command"]

DEFAULT_USERS = 1000


def evaluate_command(argv: Sequence[str]) -> None:
    """`seqrec evaluate`."""
    own = own_flags()
    if not asks_for_help(argv):
        require_flags(argv, flag_names(own) | data_flag_names(), own.prog)
        check_own_flags(own, argv)
    import_modules(argv)
    parser = full_parser(own)
    with parser.naming_flags():
        parser.parse_known_args(argv)  # help and most mistakes need no model; the model's own split comes later
        evaluate(parser, argv)


def own_flags() -> FlagParser:
    """Build a parser of the flags that no dataclass declares."""
    parser = FlagParser(prog="seqrec evaluate", add_help=False)
    add_model_flag(parser)
    add_device_flag(parser)
    parser.add_argument(
        "--split", choices=("validation", "test"), default="test", help="Held-out split (default: test)."
    )
    parser.add_argument("--include_seen", action="store_true", help="Allow items in the history to be recommended.")
    parser.add_argument("--json", action="store_true", help="Print all metrics as JSON instead of the table.")
    parser.add_argument(
        "--ranks", type=not_empty, help=f"File for the rank of each user's held-out item ({', '.join(WRITERS)})."
    )
    parser.add_argument(
        "--per_user",
        action="store_true",
        help="Also rank once per user, for all items of the held-out part together, as benchmarks with a split in time "
        "do; with the NDCG of Yambda's.",
    )
    add_curve_flags(parser)
    parser.add_argument(
        "--faithfulness",
        nargs="?",
        const=True,
        type=not_empty,
        metavar="FILE",
        help="Measure how faithful the explanations of each method are, and print a table; write it as JSON to a file, "
        "if one is given.",
    )
    parser.add_argument(
        "--users", type=positive_integer, help=f"Users to draw for --faithfulness (default: {DEFAULT_USERS})."
    )
    add_quiet_flag(parser)
    add_import_flag(parser)
    return parser


def check_own_flags(parser: FlagParser, argv: Sequence[str]) -> None:
    """Raise an `InputError` if the model or the data cannot exist, or the ranks cannot be written."""
    flags = parser.parse_known_args(argv)[0]
    require_model_name(flags.model)
    check_dataset(argv)
    where: dict[str, Any] = {
        "model": flags.model,
        "sources": {f"--{name}": value_of(name, argv) for name in ("dataset", "items")},
    }
    if flags.ranks is not None:
        require_output_file(flags.ranks, **where, flag="--ranks")
    check_curve_flags(flags, where)
    if flags.users is not None and flags.faithfulness is None:
        raise InputError("--users has no effect without --faithfulness. Leave it out.")
    if isinstance(flags.faithfulness, str):
        require_output_file(flags.faithfulness, **where, flag="--faithfulness", endings=[".json"])


def full_parser(own: FlagParser) -> "DataclassParser":
    """Build a parser of all flags."""
    from seqrec.cli.dataclass_parser import DataclassParser
    from seqrec.interactions.data_arguments import DataArguments

    return DataclassParser(
        [DataArguments],
        prog=own.prog,
        parents=[own],
        description="Evaluate a saved model on held-out interactions, split as in training unless flags say otherwise.",
    )


def evaluate(parser: "DataclassParser", argv: Sequence[str]) -> None:
    """Evaluate as the flags say, and print the metrics."""
    from seqrec.evaluation.rank_tables import ranks_table
    from seqrec.hub.saved_folder import read_protocol
    from seqrec.inference.recommender import Recommender
    from seqrec.interactions.column_names import remembered_columns
    from seqrec.interactions.histories import as_histories
    from seqrec.interactions.preparation import prepare
    from seqrec.modeling.devices import resolve_device
    from seqrec.training.training_events import set_training_events

    protocol = read_protocol(parser.parse_known_args(argv)[0].model)
    split_as_trained(parser, argv, protocol)
    data_arguments, flags = parser.parse_all(argv)
    recommender = Recommender.from_pretrained(flags.model, device=resolve_device(flags.device))
    data = prepare(
        data_arguments,
        recommender.tokenizer,
        remembered=remembered_columns(protocol),
        held_out=[flags.split],
        event_columns=recommender.model.config.data_columns,
    )
    data = replace(data, items=data.items.with_descriptions_of(recommender.items))
    warn_of_other_data(protocol, data)
    set_training_events(recommender.model, as_histories(data.sequences["train"]))
    exclude_seen = protocol.get("exclude_seen", True) and not flags.include_seen
    curve = draw_curve(recommender, data, flags, exclude_seen)
    figures, ranking = measure_saved(recommender, data, flags, exclude_seen)
    if flags.ranks is not None:
        write_frame(ranks_table(ranking, as_histories(data.sequences[flags.split]), recommender.items), flags.ranks)
    if flags.per_user:
        figures["per_user"] = measure_per_user(recommender, data, flags, exclude_seen)
    if flags.faithfulness is not None:
        figures["faithfulness"] = measure_explanations(recommender, data, flags)
    warning = baseline_warning(figures, flags.split)
    if flags.json:
        print(json_text(figures if warning is None else {**figures, BASELINE_WARNING: warning}, indent=2))
        return
    width = terminal_width(sys.stdout)
    print(metrics_table(figures, width=width))
    if tables := task_tables(figures, width=width):
        print(f"\n{tables}")
    if "per_user" in figures:
        print(f"\n{period_table(figures['per_user'], width=width)}")
    if curve is not None:
        print(f"\n{curve_table(curve, width=width)}")
    if "faithfulness" in figures:
        print(f"\n{faithfulness_table(figures['faithfulness'], width=width)}")
    if warning is not None:
        print(f"\n{wrap(warning, width)}")


def measure_per_user(
    recommender: "Recommender", data: "PreparedData", flags: argparse.Namespace, exclude_seen: bool
) -> dict[str, float]:
    """Rank one split once per user, and return the metrics."""
    from seqrec.evaluation.period_ranking import rank_periods
    from seqrec.interactions.histories import as_histories

    ranking = rank_periods(
        recommender.model,
        as_histories(data.sequences[flags.split]),
        max_length=recommender.model.config.max_history_length,
        exclude_seen=exclude_seen,
        progress=sys.stderr.isatty() and not flags.quiet,
    )
    return ranking.metrics()


def measure_explanations(recommender: "Recommender", data: "PreparedData", flags: argparse.Namespace) -> dict[str, Any]:
    """Measure the faithfulness of explanations on one split, and write it to a file if one is given."""
    from seqrec.evaluation.faithfulness import measure_faithfulness
    from seqrec.interactions.histories import as_histories
    from seqrec.interactions.whole_files import write_text_whole
    from seqrec.modeling.explanation_methods import contribution_functions

    found = measure_faithfulness(
        recommender.retriever,
        as_histories(data.sequences[flags.split]),
        contribution_functions(recommender.retriever),
        num_users=flags.users or DEFAULT_USERS,
        progress=sys.stderr.isatty() and not flags.quiet,
    )
    if isinstance(flags.faithfulness, str):
        write_text_whole(flags.faithfulness, json.dumps(found, indent=2) + "\n")
    return found


def split_as_trained(parser: "DataclassParser", argv: Sequence[str], protocol: dict[str, Any]) -> None:
    """Make the model's own split the default, which flags override."""
    from seqrec.interactions.data_arguments import SPLIT_FIELDS, DataArguments

    defaults = {field.name: field.default for field in fields(DataArguments) if field.name != "dataset"}
    parser.set_defaults(**{name: value for name, value in protocol.items() if name in defaults})
    if parser.parse_known_args(argv)[0].split_method != protocol.get("split_method"):  # its settings do not apply then
        parser.set_defaults(**{name: defaults[name] for name in set().union(*SPLIT_FIELDS.values())})


def warn_of_other_data(protocol: dict[str, Any], data: "PreparedData") -> None:
    """Warn if the interactions or their split are not those of the training."""
    if protocol.get("split_sha256") not in (None, data.protocol["split_sha256"]):
        warnings.warn(
            "These interactions, or their split, differ from those in training. If they overlap, the model may "
            "have been trained on interactions that it is now evaluated on.",
            stacklevel=2,
        )


def measure_saved(
    recommender: "Recommender", data: "PreparedData", flags: argparse.Namespace, exclude_seen: bool
) -> tuple[dict[str, Any], "Ranking"]:
    """Evaluate on one split, in the same way as the training; return the figures and the model's ranking."""
    from seqrec.evaluation.evaluator import rank_dataset
    from seqrec.evaluation.report import LIST_LENGTH, measure

    ranking = rank_dataset(
        recommender.model,
        data.sequences[flags.split],
        max_length=recommender.model.config.max_history_length,
        exclude_seen=exclude_seen,
        list_length=LIST_LENGTH,
        progress=sys.stderr.isatty() and not flags.quiet,
    )
    figures = measure(
        lambda _: ranking,
        data,
        exclude_seen=exclude_seen,
        splits=[flags.split],
        request_protocol=recommender.model.config.request_protocol,
        vectors_VD=recommender.model.item_vectors().float().numpy(force=True),
    )
    if recommender.model.config.label_tasks:
        figures["tasks"] = measure_saved_tasks(recommender, data, flags)
    return figures, ranking


def measure_saved_tasks(recommender: "Recommender", data: "PreparedData", flags: argparse.Namespace) -> dict[str, Any]:
    """Measure the label tasks on one split, in the same way as the training."""
    from seqrec.evaluation.task_evaluator import calibrations, predict_targets
    from seqrec.evaluation.task_report import measure_tasks

    model = recommender.model
    predict = partial(
        predict_targets,
        model,
        max_length=model.config.max_history_length,
        progress=sys.stderr.isatty() and not flags.quiet,
    )
    return measure_tasks(
        predict,
        data,
        tasks=model.config.label_tasks,
        calibration=calibrations(model),
        rating_scale=model.config.rating_scale,
        past_labels=model.config.past_labels,
        splits=[flags.split],
    )
