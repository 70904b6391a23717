"""An item table that is divided among processes trains, ranks, saves and resumes as a whole one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from seqrec import AutoModelForNextItem, SequentialTrainer, SequentialTrainingArguments
from seqrec.errors import InputError, SavedFolderError
from seqrec.modeling.sharded_items import shard_items
from seqrec.search import row_shards
from seqrec.search.row_shards import RowShards
from seqrec.training.checkpoints import checkpoints_in, require_same_training, what_is_missing, write_settings
from seqrec.training.output_folder import resume_point
from seqrec.training.streamed_weights import append_tensor

SCRIPT = Path(__file__).parents[1] / "fixtures" / "train_sharded.py"
sys.path.insert(0, str(SCRIPT.parent))
from train_tiny import feature_values, tiny_data, tiny_model

WHOLE = ("full-whole", "cosine-whole", "unlabelled-whole")
DIVIDED = ("full-sharded", "cosine-sharded", "unlabelled-sharded")
RANDOM = ("sampled", "sparse", "adagrad", "uneven")  # each process draws, or repeats, rows of its own


def launch(folder, processes, *flags, restarts=0):
    """Train in several processes; return what they wrote down."""
    launcher = ["--standalone", f"--nproc_per_node={processes}", f"--max-restarts={restarts}"]
    command = [sys.executable, "-m", "torch.distributed.run", *launcher, str(SCRIPT), "--output_dir", str(folder)]
    # Restarted processes would otherwise find each other's former addresses (torch 2.13).
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    finished = subprocess.run(
        [*command, *flags], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def one(forks, tmp_path_factory):
    """Trainings in one process."""
    folder = tmp_path_factory.mktemp("one")
    finished = forks.run(SCRIPT, "--output_dir", folder, "--cases", *WHOLE, OMP_NUM_THREADS="1")
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Trainings in two processes, and their folder."""
    folder = tmp_path_factory.mktemp("two")
    random = [f"{case}-{kind}" for case in RANDOM for kind in ("whole", "sharded")]
    return launch(folder, 2, "--cases", *DIVIDED, *random, "dropout-sharded", "bfloat16-sharded"), folder


def assert_same(divided, whole, *, num_processes):
    """Compare two trainings; weights less closely, as Adam magnifies gradients that are all rounding."""
    for name in ("losses", "norms", "validation", "test"):
        torch.testing.assert_close(divided[name], whole[name], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(divided["weights"], whole["weights"], atol=1e-3, rtol=1e-3)
    assert divided["ranks"] == whole["ranks"]
    assert divided["lists"] == whole["lists"]
    assert divided["rows_held"] == -(-whole["rows_held"] // num_processes)


@pytest.mark.parametrize("case", ["full", "cosine", "unlabelled"])
def test_two_processes_with_a_divided_table_train_as_one(case, one, two):
    assert_same(two[0][f"{case}-sharded"], one[f"{case}-whole"], num_processes=2)


@pytest.mark.parametrize("case", RANDOM)
def test_trainings_that_depend_on_the_processes_are_those_of_whole_tables(case, two):
    assert_same(two[0][f"{case}-sharded"], two[0][f"{case}-whole"], num_processes=2)


def test_four_processes_train_as_one_also_if_they_resume_from_two(one, two, tmp_path):
    folder = tmp_path / "full-sharded"
    shutil.copytree(two[1] / "full-sharded", folder)
    first, last = checkpoints_in(folder)
    shutil.rmtree(last)
    found = launch(tmp_path, 4, "--cases", "full-sharded", "cosine-sharded", "--resume", first.name)
    for case in ("full", "cosine"):
        assert_same(found[f"{case}-sharded"], one[f"{case}-whole"], num_processes=4)


def test_a_killed_process_is_started_again_and_ends_with_the_same_model(two, tmp_path):
    found = launch(tmp_path, 2, "--cases", "dropout-sharded", "--kill_after_step", "6", restarts=1)
    assert found["dropout-sharded"] == two[0]["dropout-sharded"]


def test_a_saved_model_is_an_ordinary_one(two):
    found, folder = two
    saved = folder / "full-sharded" / "saved"
    model = AutoModelForNextItem.from_pretrained(saved)
    weights = {name: tensor.flatten().tolist() for name, tensor in model.state_dict().items()}
    assert weights == found["full-sharded"]["weights"]
    assert model.get_input_embeddings().weight.shape == (43, 16)
    with (
        safe_open(saved / "model.safetensors", framework="pt") as file,
        safe_open(folder / "sampled-whole" / "saved" / "model.safetensors", framework="pt") as other,
    ):
        assert file.metadata().keys() == other.metadata().keys()


def test_a_table_in_bfloat16_is_saved_in_the_type_of_the_model(two):
    found, folder = two
    weights = load_file(folder / "bfloat16-sharded" / "saved" / "model.safetensors")
    table = weights["model.item_embedding.weight"]
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert torch.equal(table, table.bfloat16().float())
    model = AutoModelForNextItem.from_pretrained(folder / "bfloat16-sharded" / "saved")
    assert model.dtype == torch.float32
    torch.testing.assert_close(model.state_dict(), weights, rtol=0, atol=0)
    losses = found["bfloat16-sharded"]["losses"]
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])


def test_a_checkpoint_without_some_of_its_parts_is_incomplete(two, tmp_path):
    checkpoint = tmp_path / "checkpoint-4"
    shutil.copytree(two[1] / "full-sharded" / "checkpoint-4", checkpoint)
    assert what_is_missing(checkpoint) is None
    held = sum(path.stat().st_size for path in checkpoint.glob("optimizer.pt"))
    assert held < (two[1] / "sampled-whole" / "checkpoint-4" / "optimizer.pt").stat().st_size - 43 * 16 * 4
    (checkpoint / "item_optimizer" / ".metadata").unlink()
    assert what_is_missing(checkpoint) == "item_optimizer"


SETTINGS = {"num_processes": 2, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "seed": 0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_processes": 4, "per_device_train_batch_size": 4}, None),
        ({"num_processes": 4, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}, None),
        ({"num_processes": 4}, "num_processes was 2 and is now 4"),
        ({"num_processes": 1, "per_device_train_batch_size": 16}, "num_processes was 2 and is now 1"),
        ({"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}, "per_device_train_batch_size was 8"),
        ({"num_processes": 4, "per_device_train_batch_size": 4, "seed": 1}, "seed was 0 and is now 1"),
    ],
)
def test_only_the_number_of_processes_may_change(changes, message, tmp_path):
    write_settings(tmp_path, SETTINGS)
    if message is None:
        require_same_training(tmp_path, SETTINGS | changes)
        return
    with pytest.raises(InputError, match=message):
        require_same_training(tmp_path, SETTINGS | changes)


def test_processes_that_were_started_again_resume_by_themselves(two, tmp_path, monkeypatch):
    shutil.copytree(two[1] / "full-sharded", tmp_path / "run")
    newest = str(tmp_path / "run" / "checkpoint-8")
    with pytest.raises(InputError, match="already holds"):
        resume_point(tmp_path / "run", None, overwrite=False)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert resume_point(tmp_path / "run", None, overwrite=False) == newest
    assert resume_point(tmp_path / "empty", "true", overwrite=False) is None
    with pytest.raises(SavedFolderError, match="is not a complete checkpoint"):
        resume_point(tmp_path / "empty", "elsewhere", overwrite=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_is_appended_in_pieces_as_if_saved_with_the_others(dtype, tmp_path):
    path = tmp_path / "model.safetensors"
    others = {"a": torch.randn(3), "b": torch.arange(5)}
    table = torch.randn(7, 4).to(dtype)
    save_file(others, path, metadata={"format": "pt"})
    append_tensor(path, "table", (7, 4), dtype, table.split(3))
    torch.testing.assert_close(load_file(path), {**others, "table": table}, rtol=0, atol=0)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ema_decay": 0.9}, r"ema_decay=0\.9 cannot be used with shard_items"),
        ({"torch_compile": True}, "torch_compile=True cannot be used with shard_items"),
        ({"average_tokens_across_devices": False}, "shard_items needs average_tokens_across_devices"),
    ],
)
def test_arguments_that_need_the_whole_table_are_refused(settings, message, tmp_path):
    sequences, tokenizer = tiny_data()
    arguments = SequentialTrainingArguments(str(tmp_path), shard_items=True, use_cpu=True, **settings)
    with pytest.raises(InputError, match=message) as raised:
        SequentialTrainer(
            tiny_model(len(tokenizer)), arguments, processing_class=tokenizer, train_dataset=sequences["train"]
        )
    assert "\n" not in str(raised.value)


def test_models_that_read_more_than_ids_are_refused(monkeypatch):
    monkeypatch.setattr(row_shards.dist, "get_world_size", lambda group: 2)
    model = tiny_model(43, windows=(7,))
    model.set_feature_values(feature_values(40))
    with pytest.raises(InputError, match="this model also has item_features, popularity_windows"):
        shard_items(model)


@pytest.mark.parametrize(("num_rows", "num_processes"), [(7, 2), (5, 4), (100, 26), (43, 12)])
def test_each_process_holds_an_item(num_rows, num_processes, monkeypatch):
    monkeypatch.setattr(row_shards.dist, "get_world_size", lambda group: num_processes)
    rows = -(-num_rows // num_processes)
    held = [min(rows, num_rows - rows * process) for process in range(num_processes)]
    if rows > 3 and min(held) > 0:
        assert RowShards(num_rows).rows_each == rows
        return
    with pytest.raises(InputError, match="too small to be divided among"):
        RowShards(num_rows)
