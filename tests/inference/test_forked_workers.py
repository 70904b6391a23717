"""Workers forked from a process that loaded a model return results or raise an error; none hangs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "fixtures" / "forked_workers.py"
TIME_LIMIT = 100  # seconds; a worker that waits for lost threads needs for ever

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def fork(recommender, tmp_path):
    """Load a model in a process of two threads, do something there, fork, and return what each worker got."""

    def run(used_before):
        recommender.save_pretrained(tmp_path / "model")
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(tmp_path / "model"), used_before],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "false"},
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # the workers too
            process.communicate()
            raise
        assert process.returncode == 0
        return [json.loads(line) for line in printed.splitlines()]

    return run


def test_four_workers_answer_everything(fork):
    *workers, parent = fork("recommend")
    assert len(workers) == 4
    assert workers == [parent] * 4
    assert parent["recommend"] == parent["from_pretrained"] == parent["recommend_frame"]
    assert not set(parent["deny"]) & {f"item {index}" for index in range(20)}


def test_after_polars_was_used_they_answer_or_say_so(fork):
    workers = fork("recommend_frame")
    assert len(workers) == 4
    for found in workers:
        assert (
            "Start workers with 'spawn', or use polars and recommend_frame in the workers" in found["recommend_frame"]
        )
        assert found["recommend"] == found["from_pretrained"]
        assert len(found["similar_items"]) == len(found["deny"]) == 5


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are listed by Linux alone")
def test_loading_serving_and_saving_start_none_of_polars_threads(recommender, tmp_path):
    recommender.save_pretrained(tmp_path / "model")
    program = f"""
from pathlib import Path
from seqrec import Recommender
recommender = Recommender.from_pretrained({str(tmp_path / "model")!r})
recommender.recommend(["item 5"], deny=[f"item {{index}}" for index in range(20)] * 200)
recommender.hide_items(["item 3"])
recommender.save_pretrained({str(tmp_path / "again")!r})
names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
assert not [name for name in names if name.startswith("polars-0")], names
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=TIME_LIMIT)
