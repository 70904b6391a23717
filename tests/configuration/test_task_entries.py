"""The tasks of a model, in its configuration and as flags."""

import math

import pytest

from seqrec import Bert4RecConfig, SasRecConfig
from seqrec.cli.train_flags import given_flags, train_parser
from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.errors import InputError

SEVERAL = {"tasks": ["next_item", "rating", "like"], "past_labels": ["like"], "rating_scale": [1, 5]}


@pytest.mark.parametrize("config_class", [SasRecConfig, Bert4RecConfig])
def test_models_read_past_labels_and_training_reads_the_labels_of_all_tasks(config_class):
    config = config_class(**SEVERAL, context_columns=["device"])
    assert config.label_tasks == ("rating", "like")
    assert config.event_columns == ("input_ids", "device", "like")
    assert config.data_columns == ("input_ids", "device", "like", "rating")
    plain = config_class()
    assert (plain.tasks, plain.label_tasks, plain.data_columns) == (["next_item"], (), ("input_ids",))


def test_tasks_decide_the_scores_and_their_weights_only_training(tmp_path):
    assert {"tasks", "rating_scale", "past_labels"} <= SasRecConfig().scoring_fields().keys()
    assert {"task_weights", "task_weighting"} <= SasRecConfig.training_fields()
    SasRecConfig(**SEVERAL, task_weights={"like": 0.5}).save_pretrained(tmp_path)
    loaded = SasRecConfig.from_pretrained(tmp_path)
    assert {name: getattr(loaded, name) for name in SEVERAL} == SEVERAL
    assert loaded.task_weights == {"like": 0.5}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tasks": []}, "tasks must include 'next_item'"),
        ({"tasks": ["rating"]}, "tasks must include 'next_item'"),
        ({"tasks": ["next_item", "like", "like"]}, "tasks must name each task once"),
        ({"tasks": ["next_item", "user_id"]}, "tasks cannot name a column 'user_id'"),
        ({"tasks": ["next_item", "timestamps"]}, "tasks cannot name a column 'timestamps'"),
        ({"tasks": ["next_item", "was it good"]}, "tasks cannot name a column 'was it good'"),
        ({"tasks": "rating"}, "tasks must be list"),
        ({"past_labels": ["rating"]}, "past_labels names 'rating', which tasks does not predict. Add it"),
        ({**SEVERAL, "past_labels": ["click"]}, "which tasks does not predict, only rating, like"),
        ({**SEVERAL, "past_labels": ["next_item"]}, "past_labels names 'next_item'"),
        ({**SEVERAL, "past_labels": ["like", "like"]}, "past_labels must name each task once"),
        ({**SEVERAL, "context_columns": ["like"]}, "past_labels and context_columns both name 'like'"),
        ({"rating_scale": [5, 1]}, "rating_scale must be the lowest and the highest rating"),
        ({"rating_scale": [1, 2, 3]}, "rating_scale must be the lowest and the highest rating"),
        ({"rating_scale": [math.nan, 5]}, "rating_scale must be the lowest and the highest rating"),
        ({"rating_scale": [0, math.inf]}, "rating_scale must be the lowest and the highest rating"),
        ({**SEVERAL, "task_weights": {"click": 1}}, "task_weights names 'click', which is not one of the tasks"),
        ({**SEVERAL, "task_weights": {"like": -1}}, r"task_weights\['like'\] must be 0 or above, but is -1"),
        ({**SEVERAL, "task_weights": {"like": math.nan}}, r"task_weights\['like'\] must be 0 or above"),
        ({"task_weights": {"next_item": 0}}, "task_weights must be above 0 for at least one task"),
        ({"task_weights": {"next_item": 2}, "task_weighting": "learned"}, "task_weights has no effect"),
    ],
)
def test_what_is_wrong_with_tasks_is_said(fields, message):
    with pytest.raises(InputError, match=message) as refused:
        NextItemConfig(**fields)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        ["--tasks", "next_item,rating, like", "--rating_scale", "1,5", "--task_weights", "rating=0.5,like=2"],
        [
            "--tasks",
            "next_item",
            "rating",
            "like",
            "--rating_scale",
            "1",
            "5",
            '--task_weights={"rating": 0.5, "like": 2}',
        ],
    ],
    ids=["command line", "configuration file"],
)
def test_tasks_are_flags(words):
    argv = ["--dataset", "x", "--output_dir", "y", *words]
    given = given_flags(train_parser(argv), argv)
    assert given["tasks"] == ["next_item", "rating", "like"]
    assert given["rating_scale"] == [1, 5]
    assert given["task_weights"] == {"rating": 0.5, "like": 2}
    assert "past_labels" not in given


@pytest.mark.parametrize("words", [["--task_weights", "rating"], ["--rating_scale", "1,x"], ["--task_weights", "{"]])
def test_flags_of_tasks_that_cannot_be_read_are_refused(words):
    argv = ["--dataset", "x", "--output_dir", "y", *words]
    with pytest.raises(InputError, match=words[0]):
        train_parser(argv).parse_all(argv)
