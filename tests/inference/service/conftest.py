"""Small saved models, and clients of the service that answers with them."""

import pytest
from fastapi.testclient import TestClient
from service_models import app_of, save_model

from seqrec import Recommender


@pytest.fixture(scope="package")
def plain_folder(tmp_path_factory):
    """The folder of a model that reads items only."""
    folder = tmp_path_factory.mktemp("plain") / "model"
    save_model(folder)
    return folder


@pytest.fixture(scope="package")
def task_folder(tmp_path_factory):
    """The folder of a model that reads times and ratings, and predicts ratings."""
    folder = tmp_path_factory.mktemp("tasks") / "model"
    save_model(
        folder,
        tasks=["next_item", "rating"],
        rating_scale=[1, 5],
        past_labels=["rating"],
        time_encoding="relative",
        request_time="target",
    )
    return folder


@pytest.fixture(scope="package")
def client(plain_folder):
    """A client of the plain model's service."""
    with TestClient(app_of(plain_folder), raise_server_exceptions=False) as found:
        yield found


@pytest.fixture(scope="package")
def task_client(task_folder):
    """A client of the service of the model with tasks."""
    with TestClient(app_of(task_folder), raise_server_exceptions=False) as found:
        yield found


@pytest.fixture(scope="package")
def plain(plain_folder):
    """The plain model."""
    return Recommender.from_pretrained(plain_folder, device="cpu")


@pytest.fixture(scope="package")
def with_tasks(task_folder):
    """The model with tasks."""
    return Recommender.from_pretrained(task_folder, device="cpu")
