"""A search begins with the defaults, keeps the best model, continues after a kill, and looks at test once."""

import json
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import optuna
import polars as pl
import pytest
import yaml

import seqrec
from seqrec.errors import InputError, NonFiniteError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.synthetic import synthetic_interactions
from seqrec.training import tuning, tuning_trial
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.job import run_job
from seqrec.training.settings import sort_settings
from seqrec.training.tuning_bench import Bench
from seqrec.training.tuning_budget import Clock
from seqrec.training.tuning_study import open_study, quiet_optuna
from seqrec.training.tuning_trial import TrialWatch

TINY = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "max_position_embeddings": 12}
FEW = {**TINY, "num_train_epochs": 2, "intermediate_size": 16, "quiet": True}
SEARCH = ["learning_rate", "hidden_dropout"]


@pytest.fixture(scope="module")
def frame():
    return synthetic_interactions(num_users=120, num_items=30, num_tastes=2, mean_length=6)


@pytest.fixture(scope="module")
def done(frame, tmp_path_factory):
    """A finished search of a few trials."""
    folder = tmp_path_factory.mktemp("search") / "model"
    recommender = seqrec.tune(frame, trials=4, search=SEARCH, output_dir=folder, **FEW)
    return folder, recommender


def study_of(folder):
    with quiet_optuna():
        return open_study(folder / "tuning", seed=0)


def test_the_first_trial_has_the_defaults_and_the_best_one_is_saved(done, frame):
    folder, recommender = done
    table = pl.read_parquet(folder / "trials.parquet")
    assert table["number"].to_list() == [0, 1, 2, 3]
    assert table.row(0, named=True)["learning_rate"] == 2e-3  # those of dense data, by the rule
    assert table.row(0, named=True)["hidden_dropout"] == 0.3
    assert {"state", "outcome", "seconds", "best_epoch", "num_parameters"} <= set(table.columns)
    tuned = recommender.metrics["tuning"]
    complete = table.filter(pl.col("state") == "complete")
    assert tuned["best"] == pytest.approx(complete["value"].max())
    assert recommender.metrics["model"]["validation"]["ndcg@10"] == pytest.approx(tuned["best"], abs=1e-6)
    assert tuned["defaults"] == pytest.approx(table["value"][0])
    assert tuned["settings"].keys() == set(SEARCH)
    loaded = seqrec.Recommender.from_pretrained(folder)
    history = frame["item_id"][:3].to_list()
    assert loaded.recommend(history, k=3) == recommender.recommend(history, k=3)
    assert (folder / "tune.png").read_bytes().startswith(b"\x89PNG")
    assert "the best of 4 trials by ndcg@10 on validation" in (folder / "README.md").read_text()
    assert sorted(path.name for path in (folder / "tuning").iterdir()) == [
        "best.safetensors",
        "journal.log",
        "plan.json",
    ]


def test_the_recipe_trains_the_same_model(done, frame, tmp_path):
    folder, recommender = done
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe.pop("model_type") == "sasrec"
    sorted_ = sort_settings(recipe, "sasrec")
    trained = run_job(
        DataArguments(**sorted_.data),
        SequentialTrainingArguments(output_dir=str(tmp_path), quiet=True, **sorted_.training),
        interactions=frame,
        config_fields=sorted_.config,
    )
    tuned = recommender.metrics
    assert trained.metrics["model"]["test"] == pytest.approx(tuned["model"]["test"], abs=1e-9)
    assert trained.metrics["training"]["best_epoch"] == tuned["training"]["best_epoch"]


def test_only_the_chosen_model_is_evaluated_on_test(frame, tmp_path, monkeypatch):
    sets = []
    rank = tuning.SequentialTrainer.rank
    monkeypatch.setattr(
        tuning.SequentialTrainer, "rank", lambda self, rows, *others: (sets.append(rows), rank(self, rows, *others))[1]
    )
    prepared = []
    prepare = tuning.prepare
    monkeypatch.setattr(tuning, "prepare", lambda *a, **k: (prepared.append(prepare(*a, **k)), prepared[-1])[1])
    seqrec.tune(frame, trials=3, search=SEARCH, output_dir=tmp_path / "m", **FEW)
    assert len(prepared) == 1  # not per trial
    data = prepared[0].sequences
    assert len(sets) > 4
    assert all(rows["target"].tolist() == data["validation"]["target"].tolist() for rows in sets[:-1])
    assert sets[-1]["target"].tolist() == data["test"]["target"].tolist()


def test_a_finished_search_goes_on_only_with_more(done, frame, tmp_path):
    folder, recommender = done
    call = {"search": SEARCH, "output_dir": folder, **FEW}
    with pytest.raises(InputError, match=r"finished search of 4 trials\. Give more `trials`"):
        seqrec.tune(frame, trials=4, **call)
    with pytest.raises(InputError, match=r"holds another search: .*; learning_rate was not given and is now 0\.01"):
        seqrec.tune(frame, trials=6, **{**call, "search": ["hidden_dropout"]}, learning_rate=0.01)
    with pytest.raises(InputError, match="its interactions, or their split, are others"):
        seqrec.tune(frame[:-3], trials=6, **call)
    best = recommender.metrics["tuning"]["best"]
    more = seqrec.tune(frame, trials=6, **call)
    assert more.metrics["tuning"]["num_trials"] == 6
    assert more.metrics["tuning"]["best"] >= best
    anew = seqrec.tune(frame, trials=1, overwrite=True, **call)
    assert anew.metrics["tuning"]["num_trials"] == 1


def has_ended(folder):
    """Return whether a trial has ended."""
    if not (folder / "tuning" / "best.safetensors").is_file():
        return False
    return any(trial.value is not None for trial in study_of(folder).get_trials(deepcopy=False))


SCRIPT = """
import sys, seqrec
from seqrec.interactions.synthetic import synthetic_interactions
frame = synthetic_interactions(num_users=120, num_items=30, num_tastes=2, mean_length=6)
r = seqrec.tune(frame, trials={trials}, search={search}, output_dir={folder!r}, **{settings})
print(r.metrics["tuning"]["num_trials"])
"""


def test_a_killed_search_continues(frame, tmp_path):
    folder = tmp_path / "model"
    settings = {**FEW, "num_train_epochs": 12, "early_stopping_patience": 0}
    script = SCRIPT.format(trials=50, search=SEARCH, folder=str(folder), settings=settings)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.time() + 300
        while time.time() < until and not has_ended(folder):
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    trials = study_of(folder).get_trials()
    ended = [trial for trial in trials if trial.value is not None]
    cut = [trial for trial in trials if trial.state == optuna.trial.TrialState.RUNNING]
    assert ended
    assert len(cut) <= 1
    target = len(ended) + 5  # those that were waiting, and then the one that was cut off
    recommender = seqrec.tune(frame, trials=target, search=SEARCH, output_dir=folder, **settings)
    assert recommender.metrics["tuning"]["num_trials"] == target
    after = study_of(folder).get_trials()
    assert [trial.params for trial in after if trial.number in {one.number for one in ended}] == [
        trial.params for trial in ended
    ]
    for trial in cut:
        if trial.params:
            # It failed and was tried again, with settings that it had not drawn yet, if any.
            assert sum(trial.params.items() <= one.params.items() for one in after) == 2


def test_two_processes_share_the_trials(frame, tmp_path):
    folder = tmp_path / "model"
    recommender = seqrec.tune(frame, trials=4, processes=2, search=SEARCH, output_dir=folder, **FEW)
    table = pl.read_parquet(folder / "trials.parquet")
    assert len(table) == recommender.metrics["tuning"]["num_trials"] == 4
    best = table.filter(pl.col("state") == "complete")["value"].max()
    assert recommender.metrics["model"]["validation"]["ndcg@10"] == pytest.approx(best, abs=1e-6)
    assert not (folder / "tuning" / "prepared").exists()


def test_a_process_that_fails_ends_the_search_with_its_reason(frame, tmp_path, monkeypatch):
    monkeypatch.setattr("seqrec.training.tuning_processes.WORKER", "seqrec.no_such_worker")
    with pytest.raises(InputError, match=r"A process of the search failed: .*No module named seqrec\.no_such_worker"):
        seqrec.tune(frame, trials=4, processes=2, search=SEARCH, output_dir=tmp_path / "model", **FEW)


def test_a_running_trial_is_stopped_in_time(frame, tmp_path):
    """What it has reached counts."""
    settings = {**FEW, "num_train_epochs": 20_000, "early_stopping_patience": 0}
    recommender = seqrec.tune(frame, minutes=0.15, search=SEARCH, output_dir=tmp_path / "m", **settings)
    table = pl.read_parquet(tmp_path / "m" / "trials.parquet")
    assert table["outcome"][-1] == "time"
    assert table["num_epochs"][-1] < 20_000
    assert recommender.metrics["training"]["best_epoch"] > 0


def test_the_end_of_the_time_is_kept_for_the_evaluation(monkeypatch):
    monkeypatch.setattr("seqrec.training.tuning_budget.time.time", lambda: 1_000.0)
    clock = Clock(began=900.0, used=50.0, seconds=600.0, relative_size=2.0)
    assert (clock.elapsed, clock.end) == (150.0, 1_450.0)
    assert clock.deadline == 1_450 - 0.05 * 600
    clock.evaluation = 4.0
    assert clock.deadline == 1_450 - (2 + 4 * (1 + 5 * 2))
    clock.evaluation = 400.0
    assert clock.left == 450 - 0.3 * 600
    assert not clock.is_over
    assert Clock(began=0.0, seconds=600.0).is_over
    assert not Clock(began=0.0).is_over


@pytest.mark.parametrize(
    ("given", "is_default", "epoch_seconds", "epochs"),
    [
        ({}, True, 10.0, 25),
        ({}, True, 4.0, None),
        ({}, True, 200.0, None),
        ({}, False, 10.0, None),
        ({"num_train_epochs": 50}, True, 10.0, None),
        ({"max_steps": 9}, True, 10.0, None),
    ],
)
def test_all_trials_get_fewer_epochs_if_the_defaults_take_over_half_the_time(given, is_default, epoch_seconds, epochs):
    clock = SimpleNamespace(deadline=500.0)
    bench = Bench(None, None, None, given, "sasrec", None, clock)
    noted = {}
    study = SimpleNamespace(user_attrs=noted, set_user_attr=noted.__setitem__)
    watch = TrialWatch(bench, study, SimpleNamespace(user_attrs={"defaults": is_default}))
    watch.began = 0.0
    assert watch.takes_too_long(SimpleNamespace(num_train_epochs=50), epoch_seconds) == (epochs is not None)
    assert noted == ({} if epochs is None else {"num_train_epochs": epochs})


def test_a_diverging_trial_is_pruned_and_if_all_do_it_says_so(frame, tmp_path, monkeypatch):
    train = tuning_trial.SequentialTrainer.train
    count = []

    def failing(self, *args, **kwargs):
        count.append(self)
        if len(count) != 2:
            raise NonFiniteError("The loss is NaN.")
        return train(self, *args, **kwargs)

    monkeypatch.setattr(tuning_trial.SequentialTrainer, "train", failing)
    recommender = seqrec.tune(frame, trials=3, search=SEARCH, output_dir=tmp_path / "a", **FEW)
    assert recommender.metrics["tuning"]["best_trial"] == 1
    assert recommender.metrics["tuning"]["defaults"] is None
    table = pl.read_parquet(tmp_path / "a" / "trials.parquet")
    assert table["outcome"].to_list() == ["diverged", "done", "diverged"]
    with pytest.raises(NonFiniteError, match=r"None of the 2 trials was completed \(diverged\)"):
        seqrec.tune(frame, trials=2, search=SEARCH, output_dir=tmp_path / "b", **FEW)


def test_a_set_too_small_to_compare_trials_is_trained_on_once(frame, tmp_path):
    few = frame.filter(pl.col("user_id").is_in(frame["user_id"].unique(maintain_order=True)[:60].implode()))
    with pytest.warns(
        UserWarning, match="Validation has only .* targets, so differences between trials would be chance"
    ):
        recommender = seqrec.tune(few, trials=5, search=SEARCH, output_dir=tmp_path / "m", **FEW)
    assert recommender.metrics["tuning"]["num_trials"] == 1


def test_nothing_to_search_is_trained_on_once(frame, tmp_path):
    fixed = {"learning_rate": 0.01, "per_device_train_batch_size": 32, "hidden_dropout": 0.1, "logit_scale": 20}
    fixed |= {"position_embedding_type": "rotary"}
    with pytest.warns(UserWarning, match="All settings that a search could vary are given"):
        recommender = seqrec.tune(frame, trials=5, output_dir=tmp_path / "m", **FEW, **fixed)
    assert recommender.metrics["tuning"]["num_trials"] == 1


MISTAKES = [
    ({}, "`minutes` and `trials` are not given"),
    ({"minutes": 1, "trials": 1}, "`minutes` and `trials` are both given"),
    ({"minutes": 0}, "minutes=0 leaves no time to search"),
    ({"minutes": float("nan")}, "minutes=nan leaves no time"),
    ({"trials": 0}, "trials=0 must be a whole number of at least 1"),
    ({"trials": 1.5}, "trials=1.5 must be a whole number"),
    ({"trials": 2, "processes": 0}, "processes=0 must be a whole number"),
    ({"trials": 2, "search": ["learning_rat"]}, "Did you mean 'learning_rate'?"),
    ({"trials": 2, "search": ["seed"]}, "search='seed' is no setting that a search of sasrec can vary"),
    ({"trials": 2, "search": "learning_rate"}, "is a text. Give a list"),
    ({"trials": 2, "search": ["hidden_size"]}, "hidden_size is named by `search`, but its value is given too"),
    ({"trials": 2, "eval_strategy": "no"}, "leaves nothing to compare trials by"),
    ({"trials": 2, "resume_from_checkpoint": "true"}, "continues by itself"),
    ({"trials": 2, "learning_rat": 1}, "Did you mean 'learning_rate'?"),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES, ids=[str(list(one)) for one, _ in MISTAKES])
def test_mistakes(frame, tmp_path, mistake, message):
    with pytest.raises(InputError) as raised:
        seqrec.tune(frame, output_dir=tmp_path / "m", **{**FEW, **mistake})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_model_in_the_folder_is_not_replaced(done, frame, tmp_path):
    seqrec.train(frame, output_dir=tmp_path, **FEW)
    with pytest.raises(InputError, match="already holds a model"):
        seqrec.tune(frame, trials=1, output_dir=tmp_path, **FEW)
    before = json.loads((tmp_path / "metrics.json").read_text())
    assert "tuning" not in before


def test_without_optuna_it_says_what_to_install(frame, monkeypatch):
    monkeypatch.setattr("seqrec.training.tune.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "seqrec\[tune\]"'):
        seqrec.tune(frame, trials=1)
