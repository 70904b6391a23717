"""Flags are parsed correctly, or refused with a one-line error."""

import re
import shlex
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.cli import command_line
from seqrec.cli.config_file import with_config_file
from seqrec.cli.parsers import join_ids, shell_command, split_ids
from seqrec.cli.summary import is_typable, next_command
from seqrec.cli.train_flags import device_flags, train_parser


def refusal(capsys, *argv):
    """Run a command that must be refused; return its one line."""
    capsys.readouterr()
    assert command_line.main(list(map(str, argv))) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1, told
    assert "Traceback" not in told
    return told


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hiden_size", "8"], "There is no flag --hiden_size. Did you mean --hidden_size?"),
        (["--xyz=8"], "There is no flag --xyz. `seqrec train --help` lists the flags."),
        (["--hidden", "8"], "There is no flag --hidden."),
        (["stray"], "'stray' belongs to no flag"),
        (["--hidden_size", "wide"], "--hidden_size invalid int value: 'wide'"),
        (["--learning_rate", "nan"], "--learning_rate 'nan' is not a finite number"),
        (["--hidden_dropout", "inf"], "--hidden_dropout 'inf' is not a finite number"),
        (["--test_fraction", "few"], "--test_fraction 'few' is not a finite number"),
        (["--learning_rate", "-1"], "--learning_rate -1.0 must be above 0"),
        (["--num_train_epochs", "0"], "--num_train_epochs 0.0 must be above 0"),
        (["--min_user_interactions", "-1"], "--min_user_interactions -1 must be at least 1"),
        (["--per_device_eval_batch_size", "0"], "--per_device_eval_batch_size 0 must be at least 1"),
        (["--gradient_accumulation_steps", "0"], "--gradient_accumulation_steps 0 must be at least 1"),
        (["--lr_scheduler_kwargs", "x"], "--lr_scheduler_kwargs x must be a JSON object"),
        (["--items", ""], "--items is empty"),
        (["--run_name", " "], "--run_name is empty"),
        (["--validation_users", "0"], "--validation_users 0 leaves no data"),
        (["--model_revision", "v2"], "--model_revision v2 has no effect without a model to start from"),
        (["--model_type", "gpt"], "--model_type invalid choice: 'gpt'"),
        (["--model_type", "sasrek"], "Did you mean sasrec?"),
        (["--duplicates", "frist"], "Did you mean first?"),
        (["--eval_strategy", "epok"], "--eval_strategy epok is unknown. Did you mean 'epoch'?"),
        (["--device", "cuda:x"], "--device cuda:x is not the name of a device"),
        (["--device", "meta"], "'meta' cannot be used"),
        (["--device", "cpu", "--use_cpu", "false"], "--use_cpu False contradicts --device cpu"),
        (["--tasks", "next_item,rating", "--rating_column", "stars"], "Use --rating_column to name"),
        (["--user_id_column", "who"], "Use --user_id_column to name"),
        (["--config", "nowhere.yaml"], "'nowhere.yaml' cannot be read: No such file or directory"),
    ],
)
def test_what_a_training_cannot_mean(capsys, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("user_id,item_id,timestamp\n" + "".join(f"u{n % 4},{n},{n}\n" for n in range(20)))
    assert message in refusal(capsys, "train", "--dataset", "t.csv", "--output_dir", "m", *flags)
    assert not (tmp_path / "m" / "config.json").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hidden_size", "10", "--num_attention_heads", "3"], "--num_attention_heads 3 equal heads"),
        (["--loss", "bc"], "--loss must be one of 'cross_entropy', 'sampled_softmax', 'bce', 'gbce', but is 'bc'."),
        (["--loss", "bc"], "Did you mean bce?"),
        (["--hidden_act", "gelux"], "Did you mean gelu?"),
        (["--hidden_dropout", "1.5"], "hidden_dropout must lie in [0, 1)"),
        (
            ["--report_to", "tensorboard"],
            "--report_to tensorboard is not installed here. Run `pip install",
        ),
        (["--report_to", "tensorbord"], "--report_to tensorbord is unknown: tensorbord is not supported, only"),
        (["--metric_for_best_model", "ndgc@10"], "Give one of hr, ndcg, mrr, recall, precision, map with '@'"),
        (["--optim_args", "foo"], "--optim_args foo must have the form name=value,name=value"),
        (["--optim_args", "a=1,b"], "must have the form name=value,name=value"),
        (["--save_total_limit", "-1"], "--save_total_limit -1 must be at least 1"),
        (["--sparse_item_updates", "true"], "sparse_item_updates needs a loss that samples its negatives"),
        (["--prediction_loss_only", "true"], "prediction_loss_only has no effect"),
        (["--items", "nowhere.csv"], "There is no file 'nowhere.csv'"),
        (["--output_dir", "/proc/x"], "cannot be written"),
        (["--model_name_or_path", ""], "--model_name_or_path is empty"),
        (["--model_name_or_path", "runs/ml-100"], "Did you mean 'runs/ml-100k'?"),
        (["--dataset", "runs/t.cvs"], "Did you mean 'runs/t.csv'?"),
        (["--dataset", "ml-100"], "Did you mean ml-100k?"),
        (["--import", "no_such_module"], "--import no_such_module failed: ModuleNotFoundError"),
        (["--import", "ends"], "--import ends failed: SystemExit"),
    ],
)
def test_mistakes_are_found_before_any_work(capsys, tmp_path, monkeypatch, flags, message):
    for name in ("prepare", "claimed", "load_starting_point"):
        monkeypatch.setattr(f"seqrec.training.job.{name}", lambda *_, **__: pytest.fail("work has begun"))
    monkeypatch.setattr("transformers.integrations.integration_utils.is_tensorboard_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "ml-100k").mkdir(parents=True)
    (tmp_path / "runs" / "t.csv").write_text("user_id,item_id,timestamp\n")
    (tmp_path / "ends.py").write_text("raise SystemExit")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = sorted(tmp_path.rglob("*"))
    assert message in refusal(capsys, "train", "--dataset", "synthetic", "--output_dir", "m", *flags)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--history", "1", "--k", "0"], "--k '0' is not a whole number of at least 1"),
        (["--history", "1", "--k", "-3"], "--k '-3' is not a whole number"),
        (["--history", "1", "--k", "1.5"], "--k '1.5' is not a whole number"),
        (["--history", "1", "--allow", ","], "--allow contains no id"),
        (["--history", "1", "--deny", ""], "--deny contains no id"),
        (["--history", '"a, b'], "--history a double quote is not closed"),
        (["--history", '"a" b'], "--history a double quote is not closed"),
        (["--history", "1", "--input", "a.csv"], "Give either --history or --input"),
        (["--history", "1", "--output", "a.csv"], "--input and --output go together"),
        (["--history", "1", "--item_id_column", "sku"], "--item_id_column has no effect without --input"),
        (["--input", "a.csv", "--output", "b.csv", "--json"], "--json only applies to printing, not to --output"),
        (["--input", "", "--output", "b.csv"], "--input is empty"),
        (["--history", "1", "--device", "cuda:99"], "cuda:99"),
        (["--history", "1", "--index", "tree"], "--index invalid choice: 'tree'"),
        (["--hist", "1"], "There is no flag --hist. Did you mean --history?"),
    ],
)
def test_what_recommend_cannot_mean(capsys, tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    assert message in refusal(capsys, "recommend", "--model", "m", *flags)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["waltz"], "there is no command 'waltz'. Choose one of: prepare, train"),
        (["trian"], "there is no command 'trian'. Did you mean train?"),
        (["--vesion"], "there is no flag '--vesion'. Did you mean --version?"),
        (["addd-items"], "Did you mean add-items?"),
        (["add-items", "--model", "m"], "the following arguments are required: --items, --output_dir"),
        (["add-items", "--model", "o/m", "--items", "new.cvs", "--output_dir", "n"], "There is no file 'new.cvs'"),
        (["add-items", "--model", "o/m", "--items", __file__, "--output_dir", "."], "exists and is not empty"),
        (["hide-item"], "Did you mean hide-items?"),
        (["hide-items", "--model", "o/m", "--items", "n.csv", "--output_dir", "n"], "There is no file 'n.csv'"),
        (["show-items", "--model", "o/m", "--items", ",", "--output_dir", "n"], "--items contains no id"),
        (["show-items", "--model", "o/m", "--items", "1", "--output_dir", "."], "exists and is not empty"),
        (["push", "--modle", "m"], "There is no flag --modle. Did you mean --model?"),
        (["evaluate", "--model", "m", "--splt", "test"], "There is no flag --splt. Did you mean --split?"),
        (["evaluate", "--dataset", "synthetic"], "the following arguments are required: --model"),
        (["evaluate", "--model", "", "--dataset", "synthetic"], "--model is empty"),
        (["prepare", "--dataset", "synthetic", "--output_dir", "m", "--private"], "--private has no effect without"),
        (["push", "--model", "m", "--repo_id", "o/m", "--private", "--create_pr"], "Leave one out"),
        (["push", "--model", "m", "--repo_id", "o/m", "--token", ""], "--token is empty"),
    ],
)
def test_what_other_commands_cannot_mean(capsys, argv, message):
    assert message in refusal(capsys, *argv)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "must hold `flag: value` lines"),
        ("learning_rate", "must hold `flag: value` lines"),
        ("a: [", "cannot be read"),
        ("a: b: c", "cannot be read"),
        ("\xff", "must hold `flag: value` lines"),
        ("learning_rate:", "has no value for learning_rate"),
        ("report_to: []", "has no value for report_to"),
        ("1: 2", "sets 1, which is not a flag"),
        ("'--seed': 2", "sets '--seed', which is not a flag"),
        ("config: other.yaml", "sets 'config', which is not a flag that a file may set"),
        ("report_to: [[wandb]]", "nests values in report_to"),
        ("hiden_size: 8", "There is no flag --hiden_size. Did you mean --hidden_size?"),
        ("hidden_size: {a: 1}", "--hidden_size invalid int value"),
        ("hidden_size: wide", "--hidden_size invalid int value: 'wide'"),
        ("learning_rate: .nan", "--learning_rate 'nan' is not a finite number"),
    ],
)
def test_what_a_configuration_file_cannot_mean(capsys, tmp_path, text, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    assert message in refusal(
        capsys, "train", "--dataset", "synthetic", "--output_dir", tmp_path / "m", "--config", path
    )


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_configuration_that_is_no_text(capsys, tmp_path, content):
    path = tmp_path / "recipe.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    assert "cannot be read" in refusal(capsys, "train", "--config", path)


def test_a_configuration_file_sets_what_the_command_line_could(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("learning_rate: 1e-3\nhub_model_id: -x\npacking: false\nlr_scheduler_kwargs: {a: 1}\n")
    argv = with_config_file(["--config", str(path), "--seed", "3"])
    data, arguments, _ = train_parser(argv).parse_all([*argv, "--dataset", "synthetic"])
    assert (arguments.learning_rate, arguments.hub_model_id, arguments.packing) == (1e-3, "-x", False)
    assert (arguments.lr_scheduler_kwargs, arguments.seed, data.dataset) == ({"a": 1}, 3, "synthetic")


def test_empty_configuration_file_sets_nothing(tmp_path):
    (tmp_path / "recipe.yaml").write_text("# nothing yet\n")
    assert with_config_file(["--config", str(tmp_path / "recipe.yaml"), "--seed", "3"]) == ["--seed", "3"]


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1))
def test_ids_written_are_the_ids_read(ids):
    assert split_ids(join_ids(ids)) == ids


# Of other folders, the command shows escapes.
@given(st.text(st.characters(blacklist_categories=("Cs",))).filter(is_typable), st.lists(st.text(min_size=1)))
def test_the_next_command_is_one_that_a_shell_understands(folder, history):
    words = shlex.split(next_command(folder, history))
    assert words[:2] == ["seqrec", "recommend"]
    assert f"--model={folder}" in words or words[2:4] == ["--model", folder]


@pytest.mark.parametrize(
    ("history", "written"),
    [
        (["1", "2", "3", "4"], "--history 2,3,4"),
        (["a b", "c'd"], """--history 'a b,c'"'"'d'"""),
        (["a,b", 'say "x"'], '--history \'"a,b","say ""x"""\''),
        (["-1", "2"], "--history=-1,2"),
        (["a\x1b[2J", "$(ls)"], "--history '$(ls)'"),
    ],
)
def test_the_next_command_quotes_ids(history, written):
    assert next_command("m", history) == f"  seqrec recommend --model m {written}"


def test_a_value_that_looks_like_a_flag_stands_behind_an_equals_sign():
    assert shell_command("seqrec", model="-m", k="3") == "seqrec --model=-m --k 3"


def test_training_on_the_processor():
    assert device_flags(["--device", "cpu"]) == ["--use_cpu", "true"]
    assert device_flags(["--device=auto"]) == device_flags([]) == []


@pytest.mark.parametrize(
    ("device", "kind", "number", "message"),
    [
        ("cuda", "cuda", 1, None),
        ("cuda:0", "cuda", 1, None),
        ("cuda", "cuda", 2, None),
        ("cuda:1", "cuda", 2, "CUDA_VISIBLE_DEVICES=1"),
        ("mps", "mps", 1, None),
        ("mps", "cuda", 1, "Training runs on cuda or cpu here, not on device='mps'"),
    ],
)
def test_training_on_an_accelerator(monkeypatch, device, kind, number, message):
    monkeypatch.setattr("seqrec.training.device_choice.resolve_device", torch.device)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(kind))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: number)
    if message is None:
        assert device_flags(["--device", device]) == []
    else:
        with pytest.raises(ValueError, match=re.escape(message)):
            device_flags(["--device", device])
