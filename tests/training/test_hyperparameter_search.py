"""A search trains a model per trial, each with its own batches, updates and patience, and names the best."""

import json
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from transformers import TrainerCallback, TrainingArguments, set_seed

from seqrec import AutoModelForNextItem, Recommender, SequentialTrainer, SequentialTrainingArguments
from seqrec.errors import InputError
from seqrec.modeling.modeling_auto import MODEL_TYPES

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from train_tiny import tiny_data, tiny_model

SEQUENCES, TOKENIZER = tiny_data()
TINY = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 12, "vocab_size": len(TOKENIZER)}
UNSAVED = {"save_strategy": "no", "load_best_model_at_end": False}


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class Watch(TrainerCallback):
    """Note the evaluations and the last weights of each training."""

    def __init__(self):
        self.evaluations, self.weights = [], []

    def on_train_begin(self, args, state, control, **kwargs):
        self.evaluations.append([])

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        self.evaluations[-1].append(metrics)

    def on_train_end(self, args, state, control, model, **kwargs):
        self.weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})


@pytest.fixture
def make(tmp_path):
    """Make a trainer on tiny data, and a watch on its trainings."""

    def trainer(kind=SequentialTrainingArguments, settings=None, **others):
        base = {"eval_strategy": "epoch", "num_train_epochs": 2, "disable_tqdm": True, "use_cpu": True, **UNSAVED}
        if "model" not in others:
            others.setdefault("model_init", lambda: tiny_model(len(TOKENIZER)))
        others.setdefault("eval_dataset", SEQUENCES["validation"])
        watch = Watch()
        made = SequentialTrainer(
            args=kind(str(tmp_path), **base | (settings or {})),
            processing_class=TOKENIZER,
            train_dataset=SEQUENCES["train"],
            callbacks=[watch],
            **others,
        )
        return made, watch

    return trainer


def in_turn(*choices):
    """Options of a search whose trials take these training arguments, one after the other."""
    return {
        "hp_space": lambda trial: choices[trial.suggest_int("which", 0, len(choices) - 1)],
        "sampler": optuna.samplers.GridSampler({"which": list(range(len(choices)))}, seed=0),
        "n_trials": len(choices),
    }


def test_four_trials_with_plain_training_arguments(make, tmp_path):
    trainer, watch = make(TrainingArguments)
    best = trainer.hyperparameter_search(n_trials=4, backend="optuna")
    objectives = [found[-1]["eval_ndcg@10"] for found in watch.evaluations]
    assert len(objectives) == 4
    assert best.objective == max(objectives) == objectives[int(best.run_id)]
    assert set(best.hyperparameters) == {"learning_rate", "weight_decay", "per_device_train_batch_size"}
    assert 1e-4 <= best.hyperparameters["learning_rate"] <= 1e-2


TRIALS = [
    ("sasrec", {}, {"learning_rate": 0.01, "packing": False}),
    ("bert4rec", {}, {"learning_rate": 0.003}),
    ("esasrec", {"loss": "sampled_softmax"}, {"learning_rate": 0.02, "sparse_item_updates": True}),
    ("sasrec", {"hidden_dropout": 0.4}, {"per_device_train_batch_size": 16}),
]


def make_model(trial):
    """Make the model of a trial, or the first one."""
    return make_one(0 if trial is None else trial.suggest_int("which", 0, len(TRIALS) - 1))


def make_one(which):
    """Make a model of a trial's architecture."""
    model_type, fields, _ = TRIALS[which]
    return AutoModelForNextItem.from_config(MODEL_TYPES[model_type](**TINY, **fields))


def train_alone(make, make_one, settings=None):
    """Train a given model from the random state that a trainer has when it has made the model itself."""
    set_seed(42)
    model, state = make_one(), torch.get_rng_state()
    trainer, watch = make(model=model, settings=settings)
    torch.set_rng_state(state)
    trainer.train()
    return watch.weights[0]


def test_each_trial_trains_as_a_trainer_of_its_own(make):
    """Its collator, masks, updates, batches and settings are those of its model and arguments, not of the first."""
    trainer, watch = make(model_init=make_model)
    before = trainer.args.to_dict()
    study = optuna.create_study(storage=(storage := optuna.storages.InMemoryStorage()), study_name="x")
    trainer.hyperparameter_search(
        **in_turn(*(settings for _, _, settings in TRIALS)), storage=storage, study_name="x", load_if_exists=True
    )
    assert trainer.args.to_dict() == before
    order = [trial.params["which"] for trial in study.get_trials()]
    assert sorted(order) == [0, 1, 2, 3]
    for which, weights in zip(order, watch.weights, strict=True):
        alone = train_alone(make, lambda which=which: make_one(which), TRIALS[which][2])
        torch.testing.assert_close(weights, alone, rtol=0, atol=0)


def test_patience_begins_anew_in_each_trial(make):
    trainer, watch = make(settings={"early_stopping_patience": 2, "num_train_epochs": 6})
    trainer.hyperparameter_search(**in_turn({"learning_rate": 1e-12}, {"learning_rate": 1e-11}))
    assert [len(found) for found in watch.evaluations] == [3, 3]
    trainer.train()
    trainer.train()
    assert len(watch.evaluations[2]) == len(watch.evaluations[3]) > 0


def saving(**settings):
    """Settings of a training that keeps the best of its checkpoints."""
    own = {"save_strategy": "epoch", "load_best_model_at_end": True, "save_total_limit": 4}
    return own | settings


def test_trials_are_compared_by_their_best_checkpoints(make, tmp_path):
    scores = iter([0.9, 0.1, 0.5, 0.6])
    settings = saving(metric_for_best_model="score")
    trainer, _ = make(settings=settings, compute_metrics=lambda prediction: {"score": next(scores)})
    best = trainer.hyperparameter_search(**in_turn({"learning_rate": 0.01}, {"learning_rate": 0.02}))
    assert (best.run_id, best.objective) == ("0", 0.9)
    newest = max(tmp_path.glob("run-0/checkpoint-*/trainer_state.json"), key=lambda path: int(path.parent.name[11:]))
    checkpoint = Path(json.loads(newest.read_text())["best_model_checkpoint"])
    assert checkpoint == tmp_path / "run-0" / "checkpoint-2"
    recommender = Recommender.from_pretrained(checkpoint, device="cpu")
    assert len(recommender.recommend(TOKENIZER.item_ids[:2], k=3)) == 3


def test_after_a_search_the_best_is_trained_and_trials_resumed(make, tmp_path):
    trainer, _ = make(settings=saving())
    best = trainer.hyperparameter_search(**in_turn({"learning_rate": 0.2}, {"learning_rate": 0.01}))
    with pytest.raises(InputError, match=r"There is no model after hyperparameter_search\. Set the best"):
        trainer.evaluate()
    with pytest.raises(InputError, match="There is no model after"):
        trainer.save_model()
    trainer.args.learning_rate = [0.2, 0.01][best.hyperparameters["which"]]
    runs = {run: sorted(tmp_path.glob(f"run-{run}/checkpoint-*"))[0] for run in (0, 1)}
    with pytest.raises(InputError, match="left by another training: learning_rate was"):
        trainer.train(resume_from_checkpoint=str(runs[1 - int(best.run_id)]))
    trainer.train(resume_from_checkpoint=str(runs[int(best.run_id)]))
    assert trainer.evaluate()["eval_ndcg@10"] == pytest.approx(best.objective)
    trainer.train()
    assert trainer.evaluate()["eval_ndcg@10"] == pytest.approx(best.objective)


def test_own_metrics_of_several_sets_are_the_objective(make):
    def median_rank(prediction):
        return {"median_rank": float(np.median(prediction.predictions))}

    trainer, watch = make(
        eval_dataset={"early": SEQUENCES["validation"], "late": SEQUENCES["test"]},
        compute_metrics=median_rank,
        settings={"metric_for_best_model": "late_median_rank", "greater_is_better": False},
    )
    best = trainer.hyperparameter_search(**in_turn({"learning_rate": 0.02}, {"learning_rate": 1e-5}))
    found = [evaluations[-1]["eval_late_median_rank"] for evaluations in watch.evaluations]
    assert best.objective == min(found) < max(found)


def test_several_objectives(make):
    trainer, _ = make()
    best = trainer.hyperparameter_search(
        **in_turn({"learning_rate": 0.01}, {"learning_rate": 0.001}),
        compute_objective=lambda metrics: (metrics["eval_ndcg@10"], metrics["eval_hr@10"]),
        direction=["maximize", "maximize"],
    )
    assert all(len(one.objective) == 2 for one in best)


class PruneSecond(optuna.pruners.BasePruner):
    """Prune trial 1 at its first report."""

    def prune(self, study, trial):
        return trial.number == 1


def states_of(study):
    return [trial.state.name for trial in study.get_trials()]


def test_trials_are_pruned_by_our_metrics_or_when_they_diverge(make):
    trainer, watch = make()
    study = optuna.create_study(storage=(storage := optuna.storages.InMemoryStorage()), study_name="x")
    settings = [{"learning_rate": 0.01}, {"learning_rate": 0.02}, {"learning_rate": 1e30}]
    options = in_turn(*settings) | {"sampler": None}
    options["hp_space"] = lambda trial: settings[trial.number]
    best = trainer.hyperparameter_search(
        **options, storage=storage, study_name="x", load_if_exists=True, pruner=PruneSecond()
    )
    assert states_of(study) == ["COMPLETE", "PRUNED", "PRUNED"]
    assert (best.run_id, best.objective) == ("0", watch.evaluations[0][-1]["eval_ndcg@10"])
    reported = list(study.trials[0].intermediate_values.values())
    assert reported == [one["eval_ndcg@10"] for one in watch.evaluations[0]]
    assert len(study.trials[1].intermediate_values) == 1
    with pytest.raises(InputError, match="There is no model after hyperparameter_search"):
        trainer.save_model()  # which would be that of the trial that diverged


def test_a_seed_that_a_trial_draws_also_makes_its_model(make):
    trainer, watch = make(model_init=lambda: make_one(0))
    trainer.hyperparameter_search(lambda trial: {"seed": trial.number}, n_trials=2)
    trainer.args.seed = 1
    trainer.train()
    torch.testing.assert_close(watch.weights[2], watch.weights[1], rtol=0, atol=0)


def test_a_search_without_a_completed_trial_says_so(make):
    trainer, _ = make()
    with pytest.raises(InputError, match="None of the 2 trials was completed"):
        trainer.hyperparameter_search(**in_turn({"learning_rate": 1e30}, {"learning_rate": 1e31}))
    assert trainer.args.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "ray"}, "backend='ray' is not supported"),
        ({"n_jobs": 2}, "n_jobs=2 cannot be used"),
        ({"n_trials": 0}, "n_trials=0 must be a whole number of at least 1"),
        ({"n_trials": "4"}, "n_trials='4' must be a whole number of at least 1"),
        ({"direction": "maximise"}, "direction='maximise' is unknown. Give 'maximize' or 'minimize'"),
        ({"compute_objective": lambda metrics: 1.0}, "direction must be given too"),
        ({"direction": ["maximize", "maximize"]}, "needs compute_objective, which computes as many values"),
        ({"hp_space": lambda trial: {"learning_rat": 1}}, "draws 'learning_rat', which is not a training argument"),
        ({"hp_space": lambda trial: {"learning_rate": -1.0}}, "learning_rate=-1.0 must be above 0"),
        ({"hp_space": lambda trial: {"label_smoothing_factor": 0.1}}, "label_smoothing_factor=0.1 cannot be used"),
        ({"hp_space": lambda trial: {"sparse_item_updates": True}}, "sparse_item_updates needs a loss"),
        ({"hp_space": lambda trial: None}, "hp_space must return a dictionary"),
    ],
)
def test_a_search_that_cannot_work_is_refused_before_any_training(options, message, make):
    trainer, watch = make()
    with pytest.raises(InputError, match=message) as raised:
        trainer.hyperparameter_search(**{"n_trials": 1, **options})
    assert "\n" not in str(raised.value)
    assert watch.evaluations == []


def test_a_search_needs_models_validation_one_process_and_optuna(make, monkeypatch):
    with pytest.raises(InputError, match="Pass model_init, a function that makes one, instead of model"):
        make(model=tiny_model(len(TOKENIZER)))[0].hyperparameter_search()
    with pytest.raises(InputError, match="Pass eval_dataset to the trainer"):
        make(eval_dataset=None, settings={"eval_strategy": "no"})[0].hyperparameter_search()
    sets = {"early": SEQUENCES["validation"]}
    trainer, _ = make(eval_dataset=sets, kind=TrainingArguments)
    with pytest.raises(InputError, match=r"cannot be compared by 'ndcg@10': validation computes early_ndcg@10, "):
        trainer.hyperparameter_search(n_trials=1)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingArguments, "world_size", 2)
        with pytest.raises(InputError, match="runs in one process, but there are 2"):
            trainer.hyperparameter_search()
    monkeypatch.setattr("seqrec.training.hyperparameter_search.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'Install it: pip install "seqrec\[tune\]"'):
        trainer.hyperparameter_search()


def no_arguments():
    return tiny_model(len(TOKENIZER))


def test_a_model_of_an_earlier_trainer_is_updated_as_the_new_one_says(make):
    model = make_one(2)  # with sampled negatives
    for is_sparse in (True, False):
        trainer, watch = make(model=model, settings={"sparse_item_updates": is_sparse})
        trainer.train()
        assert model.get_input_embeddings().sparse == is_sparse
        assert len(watch.weights) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": tiny_model(len(TOKENIZER)), "model_init": no_arguments}, "Both model and model_init were given"),
        ({"model_init": None}, "There is no model to train"),
        ({"model_init": lambda trial, other: None}, "model_init has 2 arguments, but takes at most one"),
        ({"model_init": lambda: None}, "model_init must return a model of seqrec"),
        ({"model_init": no_arguments, "optimizers": (object(), None)}, "optimizers cannot be used with model_init"),
        ({"model_init": lambda: tiny_model(20)}, "The model has 20 tokens"),
    ],
)
def test_one_source_of_models(given, message, make):
    with pytest.raises(InputError, match=message) as raised:
        make(**given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("model_init", [no_arguments, lambda trial: no_arguments()])
def test_model_init_trains_the_model_that_it_makes_each_time(model_init, make):
    trainer, watch = make(model_init=model_init)
    first = trainer.model
    trainer.train()
    trainer.train()
    assert trainer.model is not first
    alone = train_alone(make, no_arguments)
    for weights in watch.weights:
        torch.testing.assert_close(weights, alone, rtol=0, atol=0)
