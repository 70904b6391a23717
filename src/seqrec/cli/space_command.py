"""`seqrec space`."""

from collections.abc import Sequence

from seqrec.cli.output import require_new_folder
from seqrec.cli.parsers import FlagParser, not_empty
from seqrec.cli.shared_flags import add_model_flag, add_quiet_flag
from seqrec.evaluation.tables import printable
from seqrec.interactions.locations import require_model_name

__all__ = ["space_command"]


def space_command(argv: Sequence[str]) -> None:
    """`seqrec space`."""
    parser = FlagParser(
        prog="seqrec space",
        description="Write the folder of a Space of the Hub that shows the page of `seqrec demo`. It loads a model of "
        "the Hub, or holds a copy of one in a folder.",
    )
    add_model_flag(parser)
    parser.add_argument("--output_dir", "--output", required=True, help="New folder for the Space.")
    parser.add_argument("--title", type=not_empty, help="Title of the Space (default: the name of the model).")
    add_quiet_flag(parser)
    with parser.naming_flags():
        flags = parser.parse_args(argv)
        require_model_name(flags.model)
        require_new_folder(flags.output_dir)
        from seqrec.inference.demo.space_files import write_space  # here, as it takes long to import

        write_space(flags.model, flags.output_dir, title=flags.title)
    if not flags.quiet:
        folder = printable(flags.output_dir)
        print(f"Wrote {folder}. Push it with: hf upload ORG/NAME {folder} --repo-type space")
