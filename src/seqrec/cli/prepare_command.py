"""`seqrec prepare`."""

from collections.abc import Sequence

from huggingface_hub.utils import validate_repo_id

from seqrec.cli.output import require_new_folder
from seqrec.cli.parsers import DataclassParser, not_empty
from seqrec.errors import InputError
from seqrec.evaluation.tables import printable
from seqrec.hub.sharing import push_prepared_set
from seqrec.interactions.hub_errors import explained
from seqrec.interactions.preparation import DataArguments, prepare

__all__ = ["prepare_command"]


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
