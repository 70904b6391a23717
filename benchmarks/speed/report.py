"""Turn measurements into a report: medians, ranges and ratios by round, as JSON and as tables."""

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

import torch
from specs import Case, Ratio, ReportName
from turns import Turns

Turn = dict[str, Any]
MORE_IS_BETTER = {"speed", "validation_ndcg@10", "test_ndcg@10"}
HEADINGS = {
    "speed": "{unit}/s",
    "step_ms": "ms a step",
    "p50_ms": "median ms",
    "p95_ms": "95th percentile, ms",
    "peak_mib": "peak MiB",
    "growth_mib": "MiB added by training",
    "seconds": "seconds",
    "cpu_seconds": "processor seconds",
    "validation_ndcg@10": "validation NDCG@10",
    "test_ndcg@10": "test NDCG@10",
    "train_seconds": "seconds of training",
}
AVERAGES = {"speed": ("median", median), "quality": ("mean", fmean)}  # by report
TITLES = {"speed": "Speed, side by side", "quality": "Quality, side by side"}
EXPLAINED = {
    "speed": "Contenders took turns within one run. Ratios are computed per round and given as their median and range "
    "over rounds; above 1, seqrec is better.",
    "quality": "Figures are means over seeds, each of the epoch that is best in validation; the test rows were looked "
    "at once. Ratios are those of the means, with their range over seeds; above 1, seqrec is better.",
}


def value(turn: Turn, quantity: str) -> float:
    """Compute one quantity of a turn."""
    match quantity:
        case "speed":
            return turn["units"] / turn["seconds"]
        case "step_ms":
            return turn["seconds"] / turn["count"] * 1000
        case "p50_ms":
            return median(turn["times_ms"])
        case "p95_ms":
            return quantiles(turn["times_ms"], n=20)[-1]
    return turn[quantity]


def spread(values: list[float], report: ReportName = "speed") -> dict[str, float]:
    """Return the average, minimum and maximum."""
    name, average = AVERAGES[report]
    return {name: average(values), "min": min(values), "max": max(values)}


def ratio_of(ratio: Ratio, turns: Turns, report: ReportName = "speed") -> dict[str, Any] | None:
    """Compare round by round with the peer that has the best average; None if either side failed.

    The average of the ratios is that of the rounds; in the quality report, the ratio of the averages.
    """
    quantity = ratio.quantity
    better = max if quantity in MORE_IS_BETTER else min
    peers = [name for name in ratio.theirs if turns.get(name)]
    if not peers or not turns.get(ratio.ours):
        return None
    _, average = AVERAGES[report]
    values = {name: [value(turn, quantity) for turn in turns[name]] for name in (ratio.ours, *peers)}
    best = better(peers, key=lambda name: average(values[name]))
    pairs = list(zip(values[ratio.ours], values[best], strict=False))
    if quantity not in MORE_IS_BETTER:
        pairs = [(theirs, ours) for ours, theirs in pairs]
    rounds = [above / below for above, below in pairs]
    of_rounds = spread(rounds, report)
    if report == "quality":
        above, below = zip(*pairs, strict=True)
        of_rounds["mean"] = average(above) / average(below)
    return {
        "title": ratio.title,
        "quantity": quantity,
        "against_peers": ratio.against_peers,
        "ours": ratio.ours,
        "theirs": best,
        **of_rounds,
        "rounds": rounds,
    }


def as_result(case: Case, turns: Turns, errors: dict[str, str], *, threads: int) -> dict[str, Any]:
    """Collect a case's raw turns, summaries and ratios."""
    contenders = {}
    for contender in case.contenders:
        if contender.name in turns:
            measured = turns[contender.name]
            summary = {
                quantity: spread([value(turn, quantity) for turn in measured], case.report) for quantity in case.shown
            }
            contenders[contender.name] = {
                **asdict(contender),
                "threads": contender.threads or threads,
                "summary": summary,
                "turns": measured,
            }
    ratios = [ratio_of(ratio, turns, case.report) for ratio in case.ratios]
    return rounded(
        {
            "title": case.title,
            "unit": case.unit,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "contenders": contenders,
            "ratios": [ratio for ratio in ratios if ratio is not None],
            "errors": {name: text.strip().splitlines()[-1] for name, text in errors.items()},
            "notes": case.notes,
        }
    )


def rounded(content: Any) -> Any:
    """Round every float to five significant digits."""
    if isinstance(content, float):
        return float(f"{content:.5g}")
    if isinstance(content, dict):
        return {key: rounded(part) for key, part in content.items()}
    if isinstance(content, list | tuple):
        return [rounded(part) for part in content]
    return content


def machine() -> dict[str, Any]:
    """Describe the processor, the vector instructions that torch uses on it, and the system."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(names),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def read_report(folder: Path, name: ReportName) -> dict[str, Any]:
    """Read the report of earlier runs, or start a new one."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"packages": {}, "cases": {}}


def write_report(report: dict[str, Any], folder: Path, name: ReportName) -> None:
    """Write a report as JSON and as Markdown, such as `speed.json` and `speed.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(as_markdown(report, name), encoding="utf-8")


def shown_machine(about: dict[str, Any]) -> str:
    """Format the machine of a case."""
    instructions = f" with {about['instructions']}" if "instructions" in about else ""
    return f"{about['processor']}{instructions}, {about['cores']} cores"


def as_markdown(report: dict[str, Any], name: ReportName) -> str:
    """Format a report as Markdown."""
    average, _ = AVERAGES[name]
    peers = ", ".join(
        f"{package} {report['packages'][environment][package]}"
        for environment, package in (("rectools", "rectools"), ("replay", "replay-rec"), ("seqrec", "transformers"))
        if environment in report["packages"]
    )
    blocks = [
        f"# {TITLES[name]}",
        f"Measured with {peers}. {EXPLAINED[name]}",
    ]
    for case, result in report["cases"].items():
        blocks += [f"## {result['title']}", f"`{case}`, {result['date'][:10]}, {shown_machine(result['machine'])}"]
        if result["ratios"]:
            rows = [
                [
                    ratio["title"],
                    f"**{ratio[average]:.3g}**",
                    f"{ratio['min']:.3g}–{ratio['max']:.3g}",
                    ratio["theirs"],
                ]
                for ratio in result["ratios"]
            ]
            blocks.append(table(["seqrec …", "ratio", "range", "compared with"], rows))
        blocks.append(contender_table(result, average))
        blocks += [f"{contender} failed: {error}" for contender, error in result["errors"].items()]
        blocks += result["notes"]
    return "\n\n".join(blocks) + "\n"


def contender_table(result: dict[str, Any], average: str) -> str:
    """Format each contender's averages as a table."""
    contenders = result["contenders"]
    shown = list(next(iter(contenders.values()))["summary"]) if contenders else []
    heads = ["", "threads", *(HEADINGS[quantity].format(unit=result["unit"]) for quantity in shown)]
    rows = []
    for name, contender in contenders.items():
        reached = all(turn.get("reached", True) for turn in contender["turns"])
        averages = [contender["summary"][quantity][average] for quantity in shown]
        label = name if reached else f"{name} (stopped before reaching the target)"
        rows.append(
            [
                label,
                str(contender["threads"]),
                *(f"{number:,.4g}" if number < 1000 else f"{number:,.0f}" for number in averages),
            ]
        )
    return table(heads, rows)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
