"""The command line: `seqrec train`, `seqrec evaluate`, `seqrec recommend`, `seqrec push`."""

import argparse
import csv
import json
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, get_args

import polars as pl
from transformers import HfArgumentParser
from transformers.utils.logging import disable_progress_bar

from seqrec.cli_flags import config_flags, train_parser, with_config_file
from seqrec.data.preparation import HELD_OUT, SPLIT_FIELDS, DataArguments, PreparedData, prepare
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.report import LIST_LENGTH, measure
from seqrec.evaluation.tables import align, metrics_table
from seqrec.hub.saved_folder import read_protocol
from seqrec.hub.sharing import push_folder, push_prepared_set
from seqrec.inference.index import IndexName
from seqrec.inference.recommendations import Recommendation
from seqrec.inference.recommender import Recommender
from seqrec.training.train import TrainedModel, train

USAGE = """seqrec COMMAND [flags]

  prepare    split and encode interactions once, for many trainings
  train      train a model on interactions, evaluate, save and document it
  evaluate   measure a saved model on held-out interactions
  recommend  recommend items for one history, or for every user of a file
  push       share a saved model on the Hub

`seqrec COMMAND --help` tells each command's flags."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0, 2 for a user's mistake, 130 for Ctrl-C."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    command = COMMANDS.get(argv[0])
    if command is None:
        print(f"seqrec: there is no command {argv[0]!r}.\n\n{USAGE}", file=sys.stderr)
        return 2
    warnings.formatwarning = plain_warning
    disable_progress_bar()  # those of loading and saving; training and ranking keep theirs
    try:
        command(argv[1:])
    except ValueError as error:
        print(f"seqrec {argv[0]}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nseqrec {argv[0]}: interrupted.", file=sys.stderr)
        if argv[0] == "train":
            print("Finished epochs are kept: add --resume_from_checkpoint true to go on.", file=sys.stderr)
        return 130
    return 0


def plain_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Write a warning for people: without the place in the code that it comes from."""
    return f"seqrec: {message}\n"


def train_command(argv: Sequence[str]) -> None:
    """`seqrec train`."""
    argv = with_config_file(argv)
    parser = train_parser(argv)
    data_arguments, training_arguments, rest = parser.parse_args_into_dataclasses(argv)
    options = vars(rest)
    config_fields = {name: options[name] for name in config_flags(options["model_type"]) if options[name] is not None}
    trained = train(
        data_arguments,
        training_arguments,
        model_type=options["model_type"],
        model_name_or_path=options["model_name_or_path"],
        model_revision=options["model_revision"],
        config_fields=config_fields,
        overwrite=options["overwrite"],
        command=shlex.join(["seqrec", "train", *argv]),
    )
    if trained.trainer.is_world_process_zero():
        print_summary(trained)
    trained.trainer.accelerator.end_training()  # leaves the process group, if there is one


def prepare_command(argv: Sequence[str]) -> None:
    """`seqrec prepare`."""
    parser = HfArgumentParser(
        [DataArguments],
        prog="seqrec prepare",
        description="Split and encode interactions once. `seqrec train --dataset DIR` then starts from there.",
    )
    parser.add_argument("--output_dir", required=True, help="New folder for sequences, vocabulary and catalogue.")
    parser.add_argument("--repo_id", help="Data set of the Hub (org/name) to push it to as well.")
    parser.add_argument("--private", action="store_true", default=None, help="Let only members see a new data set.")
    data_arguments, rest = parser.parse_args_into_dataclasses(argv)
    folder = Path(rest.output_dir)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already, and not empty. Choose another --output_dir.")
    data = prepare(data_arguments)
    data.save(folder, name=rest.repo_id)
    parts = ", ".join(f"{len(rows):,} for {part}" for part, rows in data.sequences.items())
    print(f"Wrote the histories ({parts}) and the {len(data.items):,} items to {folder}.")
    if rest.repo_id is not None:
        print(f"Pushed them to {push_prepared_set(folder, rest.repo_id, private=rest.private)}")


def evaluate_command(argv: Sequence[str]) -> None:
    """`seqrec evaluate`."""
    parser = HfArgumentParser(
        [DataArguments],
        prog="seqrec evaluate",
        description="Measure a saved model on held-out interactions, split as in training unless flags say otherwise.",
    )
    parser.add_argument("--model", required=True, help="Folder of the model, or its repository on the Hub.")
    parser.add_argument("--split", choices=HELD_OUT, default="test", help="Which held-out rows (default: test).")
    parser.add_argument("--include_seen", action="store_true", help="Let items of the history be recommended again.")
    parser.add_argument("--json", action="store_true", help="Print all figures as JSON, not the table.")
    protocol = read_protocol(parser.parse_known_args(argv)[0].model)
    defaults = {field.name: field.default for field in fields(DataArguments) if field.name != "dataset"}
    parser.set_defaults(**{name: value for name, value in protocol.items() if name in defaults})
    if parser.parse_known_args(argv)[0].split_method != protocol.get("split_method"):  # its settings mean nothing then
        parser.set_defaults(**{name: defaults[name] for name in set().union(*SPLIT_FIELDS.values())})
    data_arguments, rest = parser.parse_args_into_dataclasses(argv)
    recommender = Recommender.from_pretrained(rest.model)
    data = prepare(data_arguments, recommender.tokenizer, held_out=[rest.split])
    if protocol.get("split_sha256") not in (None, data.protocol["split_sha256"]):
        warnings.warn(
            "These interactions, or their split, are not those that the model was trained on. If they overlap, it may "
            "have learnt what it is now measured on.",
            stacklevel=2,
        )
    exclude_seen = protocol.get("exclude_seen", True) and not rest.include_seen
    figures = measure_saved(recommender, data, rest.split, exclude_seen=exclude_seen)
    print(json.dumps(figures, indent=2) if rest.json else metrics_table(figures))


def measure_saved(recommender: Recommender, data: PreparedData, split: str, *, exclude_seen: bool) -> dict[str, Any]:
    """Measure as the training did, on one split."""
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
    parser = argparse.ArgumentParser(
        prog="seqrec recommend", description="Recommend items for one history, or for every user of a file."
    )
    parser.add_argument("--model", required=True, help="Folder of the model, or its repository on the Hub.")
    parser.add_argument("--history", type=split_ids, help="Raw item ids, oldest first, with commas between them.")
    parser.add_argument("--input", help="File of interactions (user_id, item_id, timestamp), instead of --history.")
    parser.add_argument("--output", help="File for its recommendations (.csv, .parquet or .jsonl).")
    parser.add_argument("--k", type=int, default=10, help="How many items (default: 10).")
    parser.add_argument("--allow", type=split_ids, help="The only ids that may be recommended.")
    parser.add_argument("--deny", type=split_ids, help="Ids that may not be recommended.")
    parser.add_argument(
        "--index", default="exact", choices=get_args(IndexName), help="How the catalogue is searched (default: exact)."
    )
    parser.add_argument("--include_seen", action="store_true", help="Let items of the history be recommended again.")
    parser.add_argument("--unknown", choices=("skip", "error"), default="skip", help="On ids the model does not know.")
    parser.add_argument("--json", action="store_true", help="Print JSON, not the table.")
    flags = parser.parse_args(argv)
    if (flags.history is None) == (flags.input is None):
        raise ValueError("Give either --history or --input.")
    if (flags.input is None) != (flags.output is None):
        raise ValueError("--input and --output go together.")
    recommender = Recommender.from_pretrained(flags.model, index=flags.index)
    options = {
        "allow": flags.allow,
        "deny": flags.deny,
        "exclude_seen": not flags.include_seen,
        "unknown": flags.unknown,
    }
    if flags.input:
        frame = recommender.recommend_frame(flags.input, flags.k, **options)
        write_frame(frame, flags.output)
        print(f"Wrote {len(frame)} recommendations for {frame['user_id'].n_unique()} users to {flags.output}.")
        return
    found = recommender.recommend(flags.history, flags.k, **options)
    print(
        json.dumps([asdict(one) for one in found], ensure_ascii=False) if flags.json else recommendations_table(found)
    )


def split_ids(text: str) -> list[str]:
    """Split ids at commas; one that holds a comma itself stands in double quotes."""
    return [item_id for row in csv.reader([text], skipinitialspace=True) for item_id in row if item_id]


def write_frame(frame: pl.DataFrame, path: str) -> None:
    """Write a table in the format that its file's name tells."""
    writers: dict[str, Callable[[str], Any]] = {
        ".csv": frame.write_csv,
        ".parquet": frame.write_parquet,
        ".jsonl": frame.write_ndjson,
    }
    writer = writers.get(Path(path).suffix)
    if writer is None:
        raise ValueError(f"--output {path} must end in one of {', '.join(writers)}.")
    writer(path)


def recommendations_table(found: Sequence[Recommendation]) -> str:
    """Lay out one user's recommendations, best first."""
    rows = [[str(rank), one.item_id, f"{one.score:.3f}", one.title or ""] for rank, one in enumerate(found, start=1)]
    return align([["rank", "item_id", "score", "title"], *rows], left_columns=4)


def push_command(argv: Sequence[str]) -> None:
    """`seqrec push`."""
    parser = argparse.ArgumentParser(
        prog="seqrec push",
        description="Share a saved model on the Hub: weights, vocabulary, metrics, card and code, and nothing else of "
        "what lies in its folder. An interrupted push is completed by another.",
    )
    parser.add_argument("--model", required=True, help="Folder of the model.")
    parser.add_argument("--repo_id", required=True, help="ORG/NAME; created if there is no such repository.")
    parser.add_argument("--private", action="store_true", default=None, help="Let only members see a new repository.")
    parser.add_argument("--revision", help="Branch to push to, created if there is none (default: main).")
    parser.add_argument("--create_pr", action="store_true", help="Propose it as a pull request.")
    parser.add_argument("--commit_message", help="What to call the commit.")
    parser.add_argument("--token", help="Token with the right to write (default: HF_TOKEN, or `hf auth login`'s).")
    flags = parser.parse_args(argv)
    print(
        push_folder(
            flags.model,
            flags.repo_id,
            private=flags.private,
            token=flags.token,
            revision=flags.revision,
            create_pr=flags.create_pr,
            commit_message=flags.commit_message,
        )
    )


def print_summary(trained: TrainedModel, num_examples: int = 3) -> None:
    """Print how good the model is, what it recommends to some users, and where it lies."""
    recommender = Recommender(trained.trainer.model, trained.data.tokenizer, trained.data.items)
    print(f"\n{metrics_table(trained.metrics)}\n")
    for number, row in enumerate(trained.data.sequences["test"].select(range(num_examples)), start=1):
        history = trained.data.tokenizer.decode_item_ids(row["input_ids"])
        newest = ", ".join(recommender.name_item(item_id) for item_id in history[-3:])
        user = row.get("user_id", f"in row {number}")  # a prepared set knows no ids
        print(f"User {user}, after {newest}:")
        print(recommendations_table(recommender.recommend(history, k=5)), end="\n\n")
    folder = trained.trainer.args.output_dir
    print(f"Saved to {folder}: model, metrics.json, training_curve.png and a model card (README.md). Try:")
    print(f"  seqrec recommend --model {folder} --history {','.join(history[-3:])}")


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "prepare": prepare_command,
    "train": train_command,
    "evaluate": evaluate_command,
    "recommend": recommend_command,
    "push": push_command,
}


if __name__ == "__main__":
    sys.exit(main())
