"""Measure seqrec against its peers: `python benchmarks/speed/run.py [--cases a,b] [--rounds 7]`.

Builds the peers' environments, lets all contenders of a case take turns in one run, and writes `speed.json`,
`speed.md` and plots, or `quality.json` and `quality.md`. In an existing report, only the cases that were run are
replaced.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from cases import CASES, time_to_quality
from contenders import Worker
from data import write_interactions
from environments import packages_of, python_of
from plots import draw_all
from report import as_result, read_report, write_report
from specs import Case, Contender
from turns import measure, say

BENCHMARKS = Path(__file__).resolve().parent.parent
RECIPE = BENCHMARKS / "recipes" / "sasrec-ml-1m-quick.yaml"


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases",
        help="Names, or first words of names, separated by commas (default: all of speed.md but time-to-quality).",
    )
    parser.add_argument("--rounds", type=int, default=7, help="Turns per contender (default: 7).")
    parser.add_argument("--turn_seconds", type=float, default=4, help="Approximate seconds per turn (default: 4).")
    parser.add_argument("--threads", type=int, default=2, help="Threads per contender (default: 2).")
    parser.add_argument("--output", type=Path, default=BENCHMARKS / "results" / "speed", help="Folder of the report.")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="Our recipe for time-to-quality.")
    parser.add_argument("--quality", type=float, default=0.16, help="The NDCG@10 to reach (default: 0.16).")
    parser.add_argument("--quality_limit", type=float, default=3600, help="Time limit in seconds (default: 3600).")
    return parser.parse_args()


def choose(names: str | None, cases: tuple[Case, ...]) -> list[Case]:
    """Select the named cases, or the default ones; `train` names all cases that begin with `train-`.

    Raises:
        ValueError: On an unknown name.
    """
    if names is None:
        return [case for case in cases if case.by_default]
    chosen = []
    for name in names.split(","):
        named = [case for case in cases if case.name == name or case.name.startswith(f"{name}-")]
        if not named:
            raise ValueError(f"There is no case {name!r}. Choose from: {', '.join(case.name for case in cases)}.")
        chosen += named
    return chosen


def start(contender: Contender, *, data: Path | None, threads: int) -> Worker:
    """Start a contender in its environment."""
    return Worker(contender, python=python_of(contender.environment), data=data, threads=threads)


def add_result(case: Case, result: dict[str, Any], packages: dict[str, Any], names: list[str], output: Path) -> None:
    """Add a case to its report, in the order of `names`, and draw the plots of speed."""
    report = read_report(output, case.report)
    report["packages"] |= {contender.environment: packages[contender.environment] for contender in case.contenders}
    measured = report["cases"] | {case.name: result}
    report["cases"] = {name: measured[name] for name in names if name in measured}
    write_report(report, output, case.report)
    if case.report == "speed":
        draw_all(report, output)
    say(f"Wrote {output / case.report}.md.")


def main() -> None:
    flags = parse_flags()
    known = (*CASES, time_to_quality(flags.recipe, flags.quality, flags.quality_limit))
    names = [case.name for case in known]
    cases = choose(flags.cases, known)
    environments = sorted({contender.environment for case in cases for contender in case.contenders})
    packages = {name: packages_of(name) for name in environments}
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases, start=1):
            say(f"[{number}/{len(cases)}] {case.name}: {case.title}")
            data = case.data and write_interactions(case.data, Path(folder), **case.split)
            turns, errors = measure(
                case,
                partial(start, data=data or None, threads=flags.threads),
                rounds=flags.rounds,
                turn_seconds=flags.turn_seconds,
            )
            result = as_result(case, turns, errors, threads=flags.threads)
            add_result(case, result, packages, names, flags.output)


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"run.py: {error}")
    except KeyboardInterrupt:
        sys.exit("\nrun.py: interrupted.")
