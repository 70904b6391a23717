"""`seqrec push`."""

from collections.abc import Sequence

from seqrec.cli.parsers import FlagParser, not_empty
from seqrec.cli.shared_flags import add_quiet_flag
from seqrec.errors import InputError

__all__ = ["push_command"]


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
    add_quiet_flag(parser)
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        if flags.private and flags.create_pr:
            raise InputError("--private needs a new repository, --create_pr an existing one. Leave one out.")
        from seqrec.hub.sharing import push_folder  # here, as it takes long to import

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
