"""`seqrec export`."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from seqrec.cli.parsers import FlagParser, not_empty
from seqrec.cli.shared_flags import add_import_flag, add_model_flag, add_quiet_flag, check_dataset, import_modules
from seqrec.evaluation.tables import printable
from seqrec.interactions.locations import require_model_name

if TYPE_CHECKING:
    from seqrec.inference.export import HeldOut
    from seqrec.inference.recommender import Recommender

__all__ = ["export_command"]


def export_command(argv: Sequence[str]) -> None:
    """`seqrec export`."""
    parser = export_parser()
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        require_model_name(flags.model)
        if flags.dataset is not None:
            check_dataset(argv)
        import_modules(argv)
        export(flags)


def export_parser() -> FlagParser:
    """Build the parser of the flags."""
    parser = FlagParser(
        prog="seqrec export",
        description="Export a saved model to a graph from token ids to lists, in a folder of its own in the model's. "
        "The graph is compared with the model before it is saved.",
    )
    add_model_flag(parser)
    parser.add_argument("--format", required=True, choices=("onnx", "openvino", "torch-export"), help="Format.")
    parser.add_argument(
        "--quantise",
        choices=("int8",),
        help="Store matrices as int8 (only onnx): smaller and faster, with other scores. The loss is measured.",
    )
    parser.add_argument(
        "--dataset",
        type=not_empty,
        help="Data that the model was trained on, to compare the graph with the model on its test split instead of "
        "made-up histories, and to measure the accuracy of both.",
    )
    add_quiet_flag(parser)
    add_import_flag(parser)
    return parser


def export(flags: Namespace) -> None:
    """Export as the flags say, and show how the graph compares with the model."""
    from seqrec.inference.export import export_model

    held_out = None if flags.dataset is None else held_out_of(flags)
    record = export_model(flags.model, flags.format, quantise=flags.quantise, held_out=held_out)
    if not flags.quiet:
        print("\n".join(report(record, flags.model)))


def held_out_of(flags: Namespace) -> "Callable[[Recommender], HeldOut]":
    """Return what prepares the test split of a data set, split as in training."""

    def held_out(recommender: "Recommender") -> "HeldOut":
        from seqrec.hub.saved_folder import read_protocol
        from seqrec.inference.export import HeldOut
        from seqrec.interactions.column_names import remembered_columns
        from seqrec.interactions.data_arguments import DataArguments
        from seqrec.interactions.histories import as_histories
        from seqrec.interactions.preparation import prepare

        protocol = read_protocol(flags.model)
        names = {field.name for field in fields(DataArguments)} - {"dataset"}
        data = prepare(
            DataArguments(flags.dataset, **{name: value for name, value in protocol.items() if name in names}),
            recommender.tokenizer,
            remembered=remembered_columns(protocol),
            held_out=["test"],
            event_columns=recommender.model.config.data_columns,
        )
        return HeldOut(
            as_histories(data.sequences["test"]),
            {"dataset": flags.dataset, "split": "test", "users": len(data.sequences["test"])},
            exclude_seen=protocol.get("exclude_seen", True),
        )

    return held_out


def report(record: dict[str, Any], model: str) -> list[str]:
    """Describe an export in a few lines."""
    parity = record["parity"]
    lines = [
        f"Exported the model to {printable(model)}/{record['format']}. On {parity['histories']} histories, "
        f"{parity['same_lists']:.0%} of the lists are the same as the model's, and scores differ by at most "
        f"{parity['max_score_difference']:.1g}."
    ]
    if record["quantised"] is not None:
        shared = record["quantised_overlap@10"]
        lines.append(f"Quantised to {record['quantised']}: lists of 10 share {10 * shared:.2f} items with the model's.")
    for name, figures in record.get("accuracy", {}).items():
        lines.append(f"{name}: " + ", ".join(f"{metric.upper()} {value:.4f}" for metric, value in figures.items()))
    return lines
