"""Predict the outcomes of several tasks: the part of a model's head that serving and evaluation read.

Shape suffixes: B users, C candidates, D hidden size, W windows of recent popularity.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqrec.errors import InputError
from seqrec.modeling.task_heads import TaskHeads

__all__ = ["TaskPredictions"]


class TaskPredictions:
    """Predictions of a model that has tasks other than the next item.

    Attributes:
        config: The model's configuration.
        model: The backbone.
        task_heads: The heads of these tasks; None if there are none.
    """

    config: Any
    model: Any
    task_heads: TaskHeads | None

    def required_heads(self) -> TaskHeads:
        """Return the heads.

        Raises:
            InputError: If the model predicts only the next item.
        """
        if self.task_heads is None:
            raise InputError("The model predicts only the next item. Train one with tasks, such as next_item,rating.")
        return self.task_heads

    def task_logits(self, users_BD: Tensor, item_ids_BC: Tensor) -> dict[str, Tensor]:
        """Predict the logits of all tasks but the next item, before calibration.

        Args:
            users_BD: User vectors (B, D + W), from `encode_users`.
            item_ids_BC: Token ids of each user's candidates.

        Returns:
            Logits (B, C) by task, float32.

        Raises:
            InputError: If the model predicts only the next item.
        """
        heads = self.required_heads()
        users_BD, _ = self.model.split_users(users_BD)
        return heads.logits(users_BD[:, None], self.model.item_vectors(item_ids_BC), item_ids_BC)

    def predict_tasks(self, users_BD: Tensor, item_ids_BC: Tensor) -> dict[str, Tensor]:
        """Predict the outcomes of all tasks but the next item: ratings on their scale, and calibrated probabilities.

        Args:
            users_BD: User vectors (B, D + W), from `encode_users`.
            item_ids_BC: Token ids of each user's candidates.

        Returns:
            Predictions (B, C) by task, float32.

        Raises:
            InputError: If the model predicts only the next item.
        """
        return self.required_heads().predictions(self.task_logits(users_BD, item_ids_BC))

    def set_calibration(self, task: str, slope: float, shift: float) -> None:
        """Calibrate a binary task: its probabilities become σ(slope · logit + shift). It is saved with the model.

        Raises:
            InputError: If the model has no such binary task.
        """
        calibration = self.required_heads().binary_head(task).calibration
        calibration.copy_(calibration.new_tensor([slope, shift]))

    def set_label_means(self, means: Mapping[str, float], item_means: Mapping[str, np.ndarray] | None = None) -> None:
        """Let an untrained model predict the mean label of each task, or that of each item, whatever the user.

        Past labels are compared with the means of their items.

        Args:
            means: The mean by task.
            item_means: The mean for each token id (V,), by task; that of the task for all items if left out.

        Raises:
            InputError: If the model lacks a task.
        """
        item_means = item_means or {}
        self.required_heads().set_label_means(means, item_means)
        for task in item_means.keys() & set(self.config.past_labels):
            self.model.event_parts[task].set_item_means(torch.as_tensor(item_means[task]))
