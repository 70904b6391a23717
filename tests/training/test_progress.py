"""What a trainer prints: a line for each evaluation, nothing else, and nothing if it is to be quiet."""

import io
import logging
import re
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import ProgressCallback, TrainerCallback, TrainerControl, TrainerState, trainer
from transformers.utils.logging import enable_progress_bar, is_progress_bar_enabled

from seqrec import SequentialTrainer, SequentialTrainingArguments
from seqrec.training import progress, terminal
from seqrec.training.progress import TrainingProgress
from seqrec.training.progress_text import start_of_training
from seqrec.training.terminal import lines_above_bars, tell

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from train_tiny import tiny_data, tiny_model

HEADER = "epoch    loss  ndcg@10   hr@10  mrr@10     time     left"
LINE = r" +{place}  +\S+   0\.\d{{4}}[* ] 0\.\d{{4}}  0\.\d{{4}}     0:\d\d     0:\d\d"
NO_EVALUATION = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}


@pytest.fixture
def lines(tmp_path, capsys):
    """Train on tiny data, and return what was written to standard error."""
    sequences, tokenizer = tiny_data()

    def train(settings, resume=None, **others):
        arguments = SequentialTrainingArguments(str(tmp_path), **{"num_train_epochs": 2, **settings})
        parts = {"train_dataset": sequences["train"], "eval_dataset": sequences["validation"], **others}
        made = SequentialTrainer(tiny_model(len(tokenizer)), arguments, processing_class=tokenizer, **parts)
        train.trainer = made  # also if it is interrupted, so that deleting it does not remove its bar
        made.train(resume_from_checkpoint=resume)
        printed = capsys.readouterr()
        assert printed.out == "" or "callbacks" in others
        return printed.err.splitlines()

    train.sequences = sequences
    return train


def test_a_line_an_epoch_with_one_header_and_the_end(lines):
    header, first, second, end = lines({})
    assert header == HEADER
    assert re.fullmatch(LINE.format(place=1), first)
    assert "*" in first
    assert re.fullmatch(LINE.format(place=2), second)
    assert re.fullmatch(r"Finished epoch 2\. Best: epoch [12], ndcg@10 0\.\d{4}\.", end)


def test_the_figures_are_those_logged_and_the_best_so_far_is_marked(lines):
    _, *printed, end = lines({"num_train_epochs": 6, "learning_rate": 0.1, "early_stopping_patience": 0})
    history = lines.trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    values = [entry["eval_ndcg@10"] for entry in history if "eval_ndcg@10" in entry]
    assert len(printed) == len(values) == 6
    for number, line in enumerate(printed):
        _, loss, value, *_ = line.split()
        assert float(loss) == pytest.approx(losses[number], abs=5e-5)
        assert float(value.rstrip("*")) == pytest.approx(values[number], abs=5e-5)
        assert value.endswith("*") == all(values[number] > before for before in values[:number])
    assert f"Best: epoch {values.index(max(values)) + 1}, ndcg@10 {max(values):.4f}." in end


def test_an_evaluation_before_the_first_step_is_never_the_best(lines):
    _, before, *_ = lines({"eval_on_start": True})
    assert before.split()[0] == "0"
    assert "*" not in before


def test_why_a_training_stopped_early(lines):
    *_, end = lines({"num_train_epochs": 60, "learning_rate": 0.5, "early_stopping_patience": 1})
    last = int(lines.trainer.state.epoch)
    assert re.fullmatch(
        rf"Stopped after epoch {last}: no better ndcg@10 in 1 epoch\. Best: epoch {last - 1}, 0\.\d{{4}}\.", end
    )


def test_a_resumed_training_has_a_new_header_and_still_knows_the_best(lines, tmp_path):
    settings = {"num_train_epochs": 4, "learning_rate": 0.1, "save_total_limit": None}
    before = lines(settings)
    checkpoints = sorted(tmp_path.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    again = lines(settings, resume=str(checkpoints[1]))
    assert again[:2] == ["Resuming after epoch 2.", HEADER]
    assert [line[:37] for line in again[2:4]] == [line[:37] for line in before[3:5]]
    assert again[-1] == before[-1]


def test_a_resumed_training_that_had_stopped_says_so_again(lines, tmp_path):
    settings = {"num_train_epochs": 60, "learning_rate": 0.5, "early_stopping_patience": 1, "save_total_limit": None}
    before = lines(settings)
    assert lines(settings, resume=True) == [f"Resuming after epoch {lines.trainer.state.epoch:.0f}.", before[-1]]


def test_evaluation_and_losses_by_steps(lines):
    settings = {"eval_strategy": "steps", "save_strategy": "steps", "logging_strategy": "steps", "num_train_epochs": 1}
    steps = {"eval_steps": 4, "save_steps": 4, "logging_steps": 2, "per_device_train_batch_size": 4}
    header, *printed, end = lines({**settings, **steps})
    assert header == HEADER.replace("epoch", "   step")
    places = [int(line.split()[0]) for line in printed]
    assert places == [*range(4, places[-1], 4), lines.trainer.state.max_steps]
    losses = {entry["step"]: entry["loss"] for entry in lines.trainer.state.log_history if "loss" in entry}
    assert float(printed[0].split()[1]) == pytest.approx((losses[2] + losses[4]) / 2, abs=1e-3)
    assert re.fullmatch(r"Finished epoch 1\. Best: step \d+, ndcg@10 0\.\d{4}\.", end)


def test_without_evaluation_the_losses_are_printed(lines):
    header, *printed, end = lines({**NO_EVALUATION, "early_stopping_patience": 0}, eval_dataset=None)
    assert header == "epoch    loss     time     left"
    assert [line.split()[0] for line in printed] == ["1", "2"]
    assert end == "Finished epoch 2."


def test_several_sets_and_own_metrics_are_shown_as_far_as_they_fit(lines):
    rows = lines.sequences["validation"]
    settings = {"metric_for_best_model": "often_ndcg@10", "early_stopping_patience": 0}
    own = {"compute_metrics": lambda predicted: {"worst": int(predicted.predictions.max()), "note": "text"}}
    header, *printed, _ = lines(settings, eval_dataset={"seldom": rows, "often": rows}, **own)
    assert header == ("epoch    loss  seldom_ndcg@10  seldom_hr@10  often_ndcg@10     time     left")
    assert all(len(line) <= len(header) for line in printed)
    assert "*" in printed[0].split()[4]


@pytest.mark.parametrize("settings", [{"quiet": True}, {"quiet": True, "disable_tqdm": False}])
def test_quiet_prints_nothing(lines, settings):
    assert lines(settings) == []
    assert lines.trainer.args.disable_tqdm


def test_only_the_main_process_prints(lines, monkeypatch):
    monkeypatch.setattr(SequentialTrainingArguments, "process_index", 1)
    monkeypatch.setattr(SequentialTrainingArguments, "should_save", True)
    assert lines({}) == []


def test_callbacks_that_people_pass_and_notebooks_keep_their_own_progress(lines, monkeypatch):
    class Notebook(TrainerCallback):
        """Stands for the table of notebooks."""

    lines({}, callbacks=[ProgressCallback()])
    kinds = [type(callback) for callback in lines.trainer.callback_handler.callbacks]
    assert kinds.count(ProgressCallback) == kinds.count(TrainingProgress) == 1
    monkeypatch.setattr(trainer, "DEFAULT_PROGRESS_CALLBACK", Notebook)
    assert lines({"disable_tqdm": False}) == []
    kinds = [type(callback) for callback in lines.trainer.callback_handler.callbacks]
    assert Notebook in kinds
    assert TrainingProgress not in kinds


def test_a_trial_of_a_search_begins_with_its_settings(tmp_path, capsys):
    state = TrainerState(is_hyper_param_search=True, trial_params={"learning_rate": 0.00123456, "hidden_size": 64})
    arguments = SequentialTrainingArguments(str(tmp_path), disable_tqdm=True)
    TrainingProgress().on_train_begin(arguments, state, TrainerControl())
    assert capsys.readouterr().err == "Trial: learning_rate 0.00123, hidden_size 64\n"


def test_evaluating_outside_training_prints_nothing(lines, capsys):
    lines({})
    lines.trainer.evaluate()
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    """Text written to a terminal of 80 columns."""

    def isatty(self):
        return True


@pytest.fixture
def in_terminal(monkeypatch):
    """Replace standard error by a terminal; only within a test, as pytest replaces it before."""

    def replace():
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(terminal, "terminal_width", lambda stream: 80)
        return stream

    return replace


def test_the_bar_of_an_interrupted_training_is_removed(lines, in_terminal):
    class Interruption(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            raise KeyboardInterrupt

    stream = in_terminal()
    with pytest.raises(KeyboardInterrupt):
        lines({"disable_tqdm": False}, callbacks=[Interruption()])
    assert re.fullmatch(r"(\repoch 1/2   0% \| +\| 0/4 steps, \? left *|\r *)+\r", stream.getvalue())
    assert re.search(r"\r {40,}\r$", stream.getvalue())


@pytest.mark.parametrize("hub_shows_bars", [True, False])
def test_bars_of_other_libraries_are_as_before_afterwards(hub_shows_bars):
    enable_progress_bar()  # a command that ran before in this process has disabled it
    if hub_shows_bars:
        enable_progress_bars()
    else:
        disable_progress_bars()
    try:
        with terminal.without_library_bars():
            assert are_progress_bars_disabled()
            assert not is_progress_bar_enabled()
        assert are_progress_bars_disabled() != hub_shows_bars
        assert is_progress_bar_enabled()
    finally:
        enable_progress_bars()


def test_warnings_and_log_messages_stand_above_the_bar(in_terminal):
    stream, show = in_terminal(), warnings.showwarning
    logger, handler = logging.getLogger("a_library"), logging.StreamHandler(stream)
    logger.addHandler(handler)
    with lines_above_bars(), progress.tqdm(total=9, desc="bar", file=stream, leave=False) as bar:
        bar.refresh()
        logger.warning("a message")
        with pytest.warns(UserWarning, match="a warning"):
            warnings.warn("a warning", stacklevel=1)
        tell("a line")
    logger.removeHandler(handler)
    assert re.search(r"\r +\ra message\n\rbar:", stream.getvalue())
    assert re.search(r"\r +\ra line\n\rbar:", stream.getvalue())
    assert warnings.showwarning is show
    assert "emit" not in vars(handler)


@pytest.mark.parametrize(("width", "number"), [(80, 2), (120, 1)])
def test_the_start_is_told_in_one_line_where_it_fits(width, number):
    model = SimpleNamespace(config=SimpleNamespace(model_type="sasrec"))
    arguments = SimpleNamespace(device=SimpleNamespace(type="cpu"), world_size=1, n_gpu=0)
    protocol = {"num_users": 943, "num_items": 1682, "num_interactions": 98114, "num_interactions_read": 100000}
    trainer = SimpleNamespace(model=model, args=arguments, num_weights=lambda: 213504)
    told = start_of_training(trainer, protocol, is_new=True, width=width)
    assert " ".join(told.split("\n")) == (
        "Training sasrec (213,504 parameters) on cpu: 943 users, 1,682 items, 98,114 of 100,000 interactions"
    )
    assert len(told.split("\n")) == number
