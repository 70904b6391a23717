"""The model of a trainer, without wrappers."""

from transformers import Trainer

from seqrec.errors import InputError
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["BareModel"]


class BareModel(Trainer):
    """A `Trainer` that tells its model from the wrappers around it."""

    @property
    def bare_model(self) -> NextItemHead:
        """The model, without the wrappers that training puts around it.

        Raises:
            InputError: If there is none, as after `hyperparameter_search`.
        """
        if self.model is None:
            raise InputError(
                "There is no model after hyperparameter_search. Set the best hyper-parameters in trainer.args and "
                "call train(), or load the best trial's checkpoint."
            )
        return self.accelerator.unwrap_model(self.model)
