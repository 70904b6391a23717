"""Measure `seqrec recommend --input` on a big table: users per second, memory over time, and a restart after a kill.

    python benchmarks/batch/run.py --model runs/ml-100k --input log.parquet --folder measured

The command runs twice: to a file; and to a folder of shards, killed (SIGKILL) at random moments and started again. The
lists of both must be the same.
"""

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

INTERVAL = 0.2  # seconds between samples of the memory
KILLS = 3


def memory(pid: int) -> dict[str, int]:
    """Return the resident memory of a process, and its peak, in MiB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    found = dict(line.split(":", 1) for line in lines)
    return {name: int(found[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM") if name in found}


def run(command: list[str], kill_after: float | None = None) -> tuple[float, float, int, list[int]]:
    """Run a command; return its seconds, those of the processor, its peak of memory, and the memory over time.

    Args:
        command: The command.
        kill_after: Seconds after which it is killed.
    """
    begin, peak, samples = time.monotonic(), 0, []
    before = processor_seconds()
    process = subprocess.Popen(command)
    while process.poll() is None:
        found = memory(process.pid)
        if "VmRSS" in found:
            samples.append(found["VmRSS"])
            peak = max(peak, found["VmHWM"])
        if kill_after is not None and time.monotonic() - begin > kill_after:
            process.send_signal(signal.SIGKILL)
            process.wait()
            break
        time.sleep(INTERVAL)
    if process.returncode != (0 if kill_after is None else -signal.SIGKILL):
        raise SystemExit(f"{' '.join(command)} failed")
    return time.monotonic() - begin, processor_seconds() - before, peak, samples


def processor_seconds() -> float:
    """Return the processor time of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def digest_of(output: Path) -> str:
    """Return a hash of the lists of a file or folder, in the order of users and ranks."""
    paths = sorted(output.glob("*.parquet")) if output.is_dir() else [output]
    rows = pl.concat([pl.read_parquet(path) for path in paths]).sort("user_id", "rank")
    digest = hashlib.sha256(str(rows.schema).encode())
    for column in rows.get_columns():
        digest.update(column.hash(seed=0).to_numpy().tobytes())
    return digest.hexdigest()


def show(title: str, seconds: float, processor: float, peak: int, samples: list[int], num_users: int) -> None:
    """Print what a run took, and the highest memory in each tenth of its time."""
    tenth = max(1, len(samples) // 10)
    over_time = [max(samples[start : start + tenth]) for start in range(0, len(samples), tenth)]
    print(f"{title}: {seconds:.0f} s, {num_users / seconds:,.0f} users/s, {processor:.0f} s of processor time")
    print(f"  peak of the memory {peak:,} MiB; over time {over_time}")


def main() -> None:
    """Run the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True, help="A table that `make_log.py` wrote.")
    parser.add_argument("--folder", required=True, help="Where the lists are written; its contents are replaced.")
    parser.add_argument("--k", default="10")
    parser.add_argument("--seed", type=int, default=0, help="Makes the moments of killing.")
    flags = parser.parse_args()
    folder = Path(flags.folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    base = [sys.executable, "-m", "seqrec.cli", "recommend", "--model", flags.model, "--input", flags.input]
    base += ["--k", flags.k, "--output"]
    reader = pl.read_csv if flags.input.endswith(".csv") else pl.read_parquet
    num_users = reader(flags.input, columns=["user_id"]).to_series().n_unique()

    found = run([*base, str(folder / "lists.parquet")])
    show("to a file", *found, num_users)

    moments = random.Random(flags.seed)
    for _ in range(KILLS):
        after = moments.uniform(0.1, 0.6) * found[0]
        _, _, peak, _ = run([*base, f"{folder}/shards/"], kill_after=after)
        done = len(list((folder / "shards").glob("part-*")))
        print(f"killed after {after:.0f} s, {done} shards done, peak {peak:,} MiB")
    show("after the kills", *run([*base, f"{folder}/shards/"]), num_users)
    digests = {name: digest_of(folder / name) for name in ("lists.parquet", "shards")}
    print("\n".join(f"{digest}  {name}" for name, digest in digests.items()))
    if len(set(digests.values())) > 1 or any(path.name.startswith(".") for path in (folder / "shards").iterdir()):
        raise SystemExit("The lists differ, or something is left over.")
    print(f"The same lists. {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
