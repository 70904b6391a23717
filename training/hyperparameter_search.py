"""Search for hyper-parameters with optuna: each trial trains a new model, and is judged by its best checkpoint."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from transformers import Trainer
from transformers.trainer_utils import BestRun, HPSearchBackend, TrainOutput

from seqrec.errors import InputError, NonFiniteError
from seqrec.training.arguments import DEFAULT_METRIC, require_ranges

__all__ = ["HyperparameterSearch"]


class HyperparameterSearch(Trainer):
    """A `Trainer` whose search fits recommenders. The training arguments are the same before and after it."""

    args_before: dict[str, Any]
    model: Any  # None after a search
    hp_space: Any
    hp_search_backend: Any

    def hyperparameter_search(
        self,
        hp_space: Callable[[Any], dict[str, Any]] | None = None,
        compute_objective: Callable[[dict[str, float]], Any] | None = None,
        n_trials: int = 20,
        direction: str | list[str] | None = None,
        backend: str = "optuna",
        hp_name: Callable[[Any], str] | None = None,
        **kwargs: Any,
    ) -> BestRun | list[BestRun]:
        """Train a model per trial and return the best trial's hyper-parameters.

        Trial n saves its checkpoints in the folder `run-n` of `output_dir`. A trial that diverges is pruned, and the
        search goes on. With `load_best_model_at_end`, trials are compared by their best checkpoints, not their last.
        Afterwards the trainer has no model: set the best hyper-parameters in `trainer.args` and call `train()`.

        Args:
            hp_space: Draws training arguments from a trial: `learning_rate` (1e-4 to 1e-2, logarithmic),
                `weight_decay` (0, 0.01 or 0.1) and `per_device_train_batch_size` (16 to 128) if None. Hyper-parameters
                of the model, such as `hidden_dropout`, are drawn by a `model_init` that takes the trial.
            compute_objective: Computes the objective from the metrics of an evaluation; by default, it is
                `metric_for_best_model`, or `ndcg@10` if there is none.
            n_trials: Number of trials.
            direction: `"maximize"` or `"minimize"`; a list for several objectives. Follows from the metric if None.
            backend: `"optuna"`, from the extra `[tune]`.
            hp_name: Names a trial's folder, instead of `run-n`.
            **kwargs: For `optuna.create_study`, such as `sampler`, `pruner` and `storage`, and `timeout`,
                `gc_after_trial` and `catch` of `Study.optimize`.

        Returns:
            The best trial: `run_id`, `objective` and `hyperparameters`, including those drawn by `model_init`; a list
            of the best ones if there are several objectives.

        Raises:
            InputError: If there is no `model_init` or no `eval_dataset`, an argument cannot be used, `hp_space` draws
                something that is not a training argument, or no trial was completed.
            ImportError: If optuna is not installed.
        """
        require_trials(n_trials, direction)
        self.require_search(compute_objective, direction, backend, kwargs)
        self.args_before = dict(self.args.__dict__)
        self.num_completed = 0
        space = default_space if hp_space is None else hp_space

        def draw(trial: Any) -> dict[str, Any]:
            drawn = space(trial)
            require_arguments(drawn, self.args)
            return drawn

        try:
            return super().hyperparameter_search(
                draw,
                compute_objective or self.selecting_metric,
                n_trials,
                direction or ("minimize" if self.args.greater_is_better is False else "maximize"),
                backend,
                hp_name,
                **kwargs,
            )
        except ValueError as error:
            if self.num_completed or isinstance(error, InputError):
                raise
            raise InputError(
                f"None of the {n_trials} trials was completed: all of them diverged or were pruned. Let hp_space draw "
                "lower learning rates, or prune less."
            ) from error
        finally:
            self.hp_search_backend = None
            self.args.__dict__.update(self.args_before)
            self.model = self.model_wrapped = None  # that of a trial which was pruned or failed is still here

    def require_search(
        self, compute_objective: Any, direction: str | list[str] | None, backend: str, options: dict[str, Any]
    ) -> None:
        """Refuse a search that could not begin, or whose result would be meaningless."""
        if str(backend) not in (HPSearchBackend.OPTUNA, str(HPSearchBackend.OPTUNA)):
            raise InputError(f"backend={backend!r} is not supported. Leave it out to search with optuna.")
        if find_spec("optuna") is None:
            raise ImportError('hyperparameter_search needs optuna. Install it: pip install "seqrec[tune]"')
        if self.model_init is None:
            raise InputError(
                "hyperparameter_search trains a new model in each trial. Pass model_init, a function that makes one, "
                "instead of model."
            )
        if self.args.world_size > 1:
            raise InputError(
                f"hyperparameter_search runs in one process, but there are {self.args.world_size}: when a trial is "
                "pruned, the others would wait for it. Start it without torchrun or accelerate launch."
            )
        if self.eval_dataset is None:
            raise InputError("hyperparameter_search compares trials by validation. Pass eval_dataset to the trainer.")
        if compute_objective is not None and direction is None:
            raise InputError("With compute_objective, direction must be given too: 'maximize' or 'minimize'.")
        if compute_objective is None and isinstance(direction, list):
            raise InputError(
                f"direction={direction} needs compute_objective, which computes as many values. By default, there is "
                "one objective."
            )
        if options.get("n_jobs", 1) != 1:
            raise InputError(
                f"n_jobs={options['n_jobs']} cannot be used: trials share one trainer and run one after the other. "
                "Leave it out."
            )

    def selecting_metric(self, metrics: dict[str, float]) -> float:
        """Return the metric that selects the best checkpoint."""
        name = self.args.metric_for_best_model or DEFAULT_METRIC
        if f"eval_{name}" not in metrics:
            names = ", ".join(one.removeprefix("eval_") for one in metrics if one.startswith("eval_"))
            raise InputError(
                f"Trials cannot be compared by {name!r}: validation computes {names}. Set metric_for_best_model to one "
                "of them, or pass compute_objective."
            )
        return metrics[f"eval_{name}"]

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Train; in a search, judge the trial by its best checkpoint, and prune it if it diverges."""
        if self.hp_search_backend is None or trial is None:
            return super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)
        import optuna

        self.args.__dict__.update(self.args_before)  # without the arguments that the last trial drew
        self.args.seed = self.hp_space(trial).get("seed", self.args.seed)  # a model is made before arguments are set
        try:
            trained = super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)
        except NonFiniteError as error:
            raise optuna.TrialPruned(str(error)) from error
        self.num_completed += 1
        if self.args.load_best_model_at_end and self.state.best_global_step:
            self.objective = self.compute_objective(metrics_at(self.state.best_global_step, self.state.log_history))
        return trained

    def _hp_search_setup(self, trial: Any) -> None:
        super()._hp_search_setup(trial)
        require_ranges(self.args)


def require_trials(n_trials: Any, direction: Any) -> None:
    """Refuse a number of trials or a direction that optuna would refuse, or that does nothing."""
    if n_trials is not None and (not isinstance(n_trials, int) or n_trials < 1):
        raise InputError(f"n_trials={n_trials!r} must be a whole number of at least 1.")
    for one in direction if isinstance(direction, list) else [direction]:
        if one not in (None, "maximize", "minimize"):
            raise InputError(f"direction={direction!r} is unknown. Give 'maximize' or 'minimize'.")


def default_space(trial: Any) -> dict[str, Any]:
    """Draw the training arguments that matter most."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 0.01, 0.1]),
        "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", [16, 32, 64, 128]),
    }


def require_arguments(drawn: Any, arguments: Any) -> None:
    """Refuse names that are not training arguments, which the library would only warn of."""
    if not isinstance(drawn, dict):
        raise InputError(f"hp_space must return a dictionary of training arguments, but returned {drawn!r}.")
    unknown = [name for name in drawn if not hasattr(arguments, name)]
    if unknown:
        raise InputError(
            f"hp_space draws {unknown[0]!r}, which is not a training argument. Draw hyper-parameters of the model in a "
            "model_init that takes the trial."
        )


def metrics_at(step: int, history: list[dict[str, float]]) -> dict[str, float]:
    """Return the metrics of the evaluation at a step, as they were computed."""
    entry = next(
        entry for entry in history if entry["step"] == step and any(name.startswith("eval_") for name in entry)
    )
    return {name: value for name, value in entry.items() if name != "step"}
