"""Push a trainer's model to the Hub: its complete files, without pickles or anything else in the output folder."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import run_as_future, upload_folder
from transformers import Trainer
from transformers.trainer import PushInProgress
from transformers.trainer_utils import HubStrategy
from transformers.utils import logging

from seqrec.hub.product_files import product_files
from seqrec.hub.sharing import push_folder
from seqrec.interactions.hub_errors import explained

__all__ = ["HubPushing"]

logger = logging.get_logger(__name__)


class HubPushing(Trainer):
    """A `Trainer` that pushes the files of its model, and nothing else.

    `hub_strategy="end"` pushes at the end of training; `"every_save"` also at each checkpoint, in the background;
    `"checkpoint"` and `"all_checkpoints"` also push the files needed to resume, including the optimizer's pickles, in
    separate folders.
    """

    push_in_progress: PushInProgress | None

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Create the repository before training, so that problems with pushing show up early."""
        repo_id = self.args.hub_model_id or Path(self.args.output_dir).absolute().name
        with explained(repo_id, "created", token=token or self.args.hub_token):
            super().init_hf_repo(token=token, private=private)

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Save the model and its card, and push them with the other files of the model.

        Args:
            commit_message: Commit message.
            blocking: Whether to wait until the upload is complete.
            token: Token with write access, instead of `hub_token` in the arguments.
            revision: Branch, instead of `hub_revision` in the arguments.
            private: Whether a new repository is private.
            **kwargs: Passed to `create_model_card`.

        Returns:
            URL of the repository, or a `Future` of it if not `blocking`; None except on the first process.

        Raises:
            HubError: If the Hub refuses. The model is still saved in the output folder.
            HubConnectionError: If the Hub cannot be reached, or fails. The model is still saved in the output folder.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        token = token or self.args.hub_token
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self.create_model_card(**kwargs)
        return self.push_saved(commit_message, blocking=blocking, token=token, revision=revision)

    def push_saved(
        self,
        commit_message: str | None,
        *,
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
    ) -> Any:
        """Push the model in the output folder once earlier pushes have finished; for arguments, see `push_to_hub`."""
        self._finish_current_push()
        return self.start_push(commit_message, blocking=blocking, token=token, revision=revision)

    def start_push(
        self, commit_message: str | None, *, blocking: bool, token: str | None = None, revision: str | None = None
    ) -> Any:
        """Push the output folder, either now or in the background."""
        push = partial(
            push_folder,
            self.args.output_dir,
            self.hub_model_id,
            token=token or self.args.hub_token,
            revision=revision or self.args.hub_revision,
            commit_message=commit_message,
        )
        return push() if blocking else run_as_future(push)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        earlier = self.push_in_progress
        if earlier is not None and not earlier.is_done() and not self.args.hub_always_push:
            return
        for path in product_files(Path(checkpoint_folder)):  # the next save may delete it
            shutil.copy(path, Path(self.args.output_dir) / path.name)
        message = f"Training in progress, step {self.state.global_step}"
        jobs = [self.start_push(message, blocking=False)]
        if self.args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            is_newest_only = self.args.hub_strategy == HubStrategy.CHECKPOINT
            jobs.append(
                upload_folder(
                    repo_id=self.hub_model_id,
                    token=self.args.hub_token,
                    folder_path=checkpoint_folder,
                    path_in_repo="last-checkpoint" if is_newest_only else Path(checkpoint_folder).name,
                    commit_message=f"{message}, checkpoint",
                    revision=self.args.hub_revision,
                    run_as_future=True,
                )
            )
        self.push_in_progress = PushInProgress([*(earlier.jobs if earlier is not None else []), *jobs])

    def _finish_current_push(self) -> None:
        super()._finish_current_push()
        finished: PushInProgress | None = getattr(self, "push_in_progress", None)
        for job in finished.jobs if finished is not None else []:
            if job.done() and job.exception() is not None:
                logger.warning(f"A push during training failed: {job.exception()}")
        self.push_in_progress = None
