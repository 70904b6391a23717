"""The command line: `seqrec prepare`, `seqrec train`, `seqrec evaluate`, `seqrec recommend`, `seqrec push`."""

import argparse
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import partial
from typing import Any, get_args

from huggingface_hub.utils import validate_repo_id
from transformers.utils.logging import disable_progress_bar

from seqrec.cli.console import INTERRUPTED, REFUSED, exit_status, json_text, plain_warnings, ready_console, tell
from seqrec.cli.output import WRITERS, require_new_folder, require_output_file, write_frame
from seqrec.cli.parsers import DataclassParser, FlagParser, not_empty, positive_integer, some_ids, split_ids
from seqrec.cli.summary import print_summary, recommendations_table
from seqrec.cli.train_flags import DEVICE_HELP, config_flags, device_flags, train_parser, with_config_file
from seqrec.errors import InputError
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.report import LIST_LENGTH, measure
from seqrec.evaluation.tables import metrics_table, printable
from seqrec.hub.saved_folder import read_protocol
from seqrec.hub.sharing import push_folder, push_prepared_set
from seqrec.inference.recommender import Recommender
from seqrec.interactions.hub_errors import explained
from seqrec.interactions.preparation import HELD_OUT, SPLIT_FIELDS, DataArguments, prepare
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.modeling.devices import resolve_device
from seqrec.search.approximate_index import IndexName
from seqrec.training.job import run_job

__all__ = ["main"]

USAGE = """seqrec COMMAND [flags]

  prepare    split and encode interactions once, for several trainings
  train      train, evaluate, save and document a model
  evaluate   evaluate a saved model on held-out interactions
  recommend  recommend items for one history, or for every user in a file
  push       share a saved model on the Hub

`seqrec COMMAND --help` lists a command's flags."""


COLUMNS = {"user_id": "user_id_column", "item_id": "item_id_column", "timestamp": "timestamp_column"}  # and their flags
DEFAULT_K = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; see `exit_status`."""
    ready_console()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not argv or argv[0] in ("-h", "--help"):
        return exit_status("", lambda: print(USAGE))
    command = COMMANDS.get(argv[0])
    if command is None:
        tell(f"seqrec: there is no command {argv[0]!r}. Choose one of: {', '.join(COMMANDS)}.")
        return REFUSED
    disable_progress_bar()  # for loading and saving; training and ranking keep theirs
    with plain_warnings():
        status = exit_status(argv[0], partial(command, argv[1:]))
    if status == INTERRUPTED and argv[0] == "train":
        tell("Completed epochs are kept: add --resume_from_checkpoint true to continue.")
    return status


def train_command(argv: Sequence[str]) -> None:
    """`seqrec train`."""
    argv = with_config_file(argv)
    parser = train_parser(argv)
    with parser.naming_flags():
        data_arguments, training_arguments, rest = parser.parse_all([*argv, *device_flags(argv)])
        options = vars(rest)
        names = config_flags(options["model_type"])
        trained = run_job(
            data_arguments,
            training_arguments,
            model_type=options["model_type"],
            model_name_or_path=options["model_name_or_path"],
            model_revision=options["model_revision"],
            config_fields={name: options[name] for name in names if options[name] is not None},
            overwrite=options["overwrite"],
            command=shlex.join(["seqrec", "train", *argv]),
        )
    if trained.trainer.is_world_process_zero():
        print_summary(trained)
    trained.trainer.accelerator.end_training()  # leaves the process group, if there is one


def prepare_command(argv: Sequence[str]) -> None:
    """`seqrec prepare`."""
    parser = DataclassParser(
        [DataArguments],
        prog="seqrec prepare",
        description="Split and encode interactions once; then train on them with `seqrec train --dataset DIR`.",
    )
    parser.add_argument("--output_dir", required=True, help="New folder for sequences, vocabulary and catalogue.")
    parser.add_argument("--repo_id", type=not_empty, help="Also push it to this data set on the Hub (org/name).")
    parser.add_argument("--private", action="store_true", default=None, help="Make a new data set private.")
    with parser.naming_flags():
        data_arguments, rest = parser.parse_all(argv)
        if rest.private and rest.repo_id is None:
            raise InputError("--private has no effect without --repo_id. Leave it out, or give --repo_id.")
        if rest.repo_id is not None:
            with explained(rest.repo_id, "pushed"):
                validate_repo_id(rest.repo_id)
        require_new_folder(rest.output_dir)
        data = prepare(data_arguments)
        data.save(rest.output_dir, name=rest.repo_id)
        parts = ", ".join(f"{len(rows):,} for {part}" for part, rows in data.sequences.items())
        print(f"Wrote the histories ({parts}) and the {len(data.items):,} items to {printable(rest.output_dir)}.")
        if rest.repo_id is not None:
            print(f"Pushed them to {push_prepared_set(rest.output_dir, rest.repo_id, private=rest.private)}")


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
    with parser.naming_flags():
        protocol = read_protocol(parser.parse_known_args(argv)[0].model)
        split_as_trained(parser, argv, protocol)
        data_arguments, rest = parser.parse_all(argv)
        recommender = Recommender.from_pretrained(rest.model, device=resolve_device(rest.device))
        columns = recommender.model.config.event_columns
        data = prepare(data_arguments, recommender.tokenizer, held_out=[rest.split], event_columns=columns)
        if protocol.get("split_sha256") not in (None, data.protocol["split_sha256"]):
            warnings.warn(
                "These interactions, or their split, differ from those in training. If they overlap, the model may "
                "have been trained on interactions that it is now evaluated on.",
                stacklevel=2,
            )
        exclude_seen = protocol.get("exclude_seen", True) and not rest.include_seen
        figures = measure_saved(recommender, data, rest.split, exclude_seen=exclude_seen)
    print(json_text(figures, indent=2) if rest.json else metrics_table(figures))


def split_as_trained(parser: DataclassParser, argv: Sequence[str], protocol: dict[str, Any]) -> None:
    """Make the model's own split the default, which flags override."""
    defaults = {field.name: field.default for field in fields(DataArguments) if field.name != "dataset"}
    parser.set_defaults(**{name: value for name, value in protocol.items() if name in defaults})
    if parser.parse_known_args(argv)[0].split_method != protocol.get("split_method"):  # its settings do not apply then
        parser.set_defaults(**{name: defaults[name] for name in set().union(*SPLIT_FIELDS.values())})


def add_model_flags(parser: FlagParser) -> None:
    """Add the flags shared by commands that run a saved model."""
    parser.add_argument(
        "--model", required=True, type=not_empty, help="Folder of the model, or its repository on the Hub."
    )
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)


def measure_saved(recommender: Recommender, data: PreparedData, split: str, *, exclude_seen: bool) -> dict[str, Any]:
    """Evaluate on one split, in the same way as the training."""
    rank = partial(
        rank_dataset,
        recommender.model,
        max_length=recommender.model.config.max_history_length,
        exclude_seen=exclude_seen,
        list_length=LIST_LENGTH,
        progress=sys.stderr.isatty(),
    )
    return measure(rank, data, exclude_seen=exclude_seen, splits=[split])


def recommend_command(argv: Sequence[str]) -> None:
    """`seqrec recommend`."""
    parser = FlagParser(
        prog="seqrec recommend", description="Recommend items for one history, or for every user in a file."
    )
    add_model_flags(parser)
    parser.add_argument("--history", type=split_ids, help="Raw item ids, oldest first, separated by commas.")
    parser.add_argument("--input", type=not_empty, help="File of interactions, instead of --history.")
    for column, flag in COLUMNS.items():
        parser.add_argument(
            f"--{flag}", type=not_empty, help=f"Column of --input with the {column}s (default: {column})."
        )
    parser.add_argument("--output", help=f"File for the recommendations for --input ({', '.join(WRITERS)}).")
    parser.add_argument("--k", type=positive_integer, help=f"Number of items per history (default: {DEFAULT_K}).")
    parser.add_argument("--allow", type=some_ids, help="Recommend only these ids.")
    parser.add_argument("--deny", type=some_ids, help="Never recommend these ids.")
    parser.add_argument(
        "--index", default="exact", choices=get_args(IndexName), help="How to search the catalogue (default: exact)."
    )
    parser.add_argument("--include_seen", action="store_true", help="Allow items in the history to be recommended.")
    parser.add_argument(
        "--unknown", choices=("skip", "error"), default="skip", help="How to treat unknown ids (default: skip)."
    )
    parser.add_argument("--json", action="store_true", help="Print JSON instead of a table.")
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        columns = {column: getattr(flags, flag) for column, flag in COLUMNS.items() if getattr(flags, flag) is not None}
        require_one_source(flags, columns)
        device = resolve_device(flags.device)
        recommender = Recommender.from_pretrained(flags.model, index=flags.index, device=device)
        k = min(DEFAULT_K, len(recommender.items)) if flags.k is None else flags.k
        options = {
            "allow": flags.allow,
            "deny": flags.deny,
            "exclude_seen": not flags.include_seen,
            "unknown": flags.unknown,
        }
        if flags.input is not None:
            frame = recommender.recommend_frame(flags.input, k, columns=columns, **options)
            write_frame(frame, flags.output)
            users = frame["user_id"].n_unique()
            print(f"Wrote {len(frame)} recommendations for {users} users to {printable(flags.output)}.")
            return
        found = recommender.recommend(flags.history, k, **options)
    print(json_text([asdict(one) for one in found]) if flags.json else recommendations_table(found))


def require_one_source(flags: argparse.Namespace, columns: dict[str, str]) -> None:
    """Raise an `InputError` unless the flags give one history, or an input and an output file, and go together."""
    if (flags.history is None) == (flags.input is None):
        raise InputError("Give either --history or --input.")
    if (flags.input is None) != (flags.output is None):
        raise InputError("--input and --output go together. Give both or neither.")
    if flags.input is None and columns:
        raise InputError(f"--{COLUMNS[next(iter(columns))]} has no effect without --input. Leave it out.")
    if flags.input is not None:
        if flags.json:
            raise InputError("--json only applies to printing, not to --output. For JSON, let --output end in .jsonl.")
        require_output_file(flags.output, model=flags.model, source=flags.input)


def push_command(argv: Sequence[str]) -> None:
    """`seqrec push`."""
    parser = FlagParser(
        prog="seqrec push",
        description="Share a saved model on the Hub: weights, vocabulary, metrics, card and code, and nothing else in "
        "its folder. To complete an interrupted push, run it again.",
    )
    parser.add_argument("--model", required=True, type=not_empty, help="Folder of the model.")
    parser.add_argument("--repo_id", required=True, help="Repository (ORG/NAME), created if it does not exist.")
    parser.add_argument("--private", action="store_true", default=None, help="Make a new repository private.")
    parser.add_argument(
        "--revision", type=not_empty, help="Branch to push to, created if it does not exist (default: main)."
    )
    parser.add_argument("--create_pr", action="store_true", help="Open a pull request instead of pushing directly.")
    parser.add_argument("--commit_message", type=not_empty, help="Commit message.")
    parser.add_argument(
        "--token", type=not_empty, help="Token with write access (default: HF_TOKEN, or that of `hf auth login`)."
    )
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        if flags.private and flags.create_pr:
            raise InputError("--private needs a new repository, --create_pr an existing one. Leave one out.")
        address = push_folder(
            flags.model,
            flags.repo_id,
            private=flags.private,
            token=flags.token,
            revision=flags.revision,
            create_pr=flags.create_pr,
            commit_message=flags.commit_message,
        )
    print(address)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "prepare": prepare_command,
    "train": train_command,
    "evaluate": evaluate_command,
    "recommend": recommend_command,
    "push": push_command,
}
