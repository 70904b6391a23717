"""Refusals by the Hub and failures worth retrying raise different errors."""

import pytest
from hub_server import READER

KINDS = """
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare

def kind(action):
    try:
        action()
    except ValueError as error:
        return type(error).__name__
    return None
"""


@pytest.mark.parametrize(
    ("action", "token", "expected"),
    [
        ("Recommender.from_pretrained('maker/nowhere')", None, "HubError"),
        ("Recommender.from_pretrained('maker/there', revision='v9')", None, "HubError"),
        ("Recommender.from_pretrained('maker/empty')", None, "SavedFolderError"),
        ("Recommender.from_pretrained('maker/no--name')", None, "InputError"),
        ("make_recommender().push_to_hub('maker/x')", READER, "HubError"),
        ("make_recommender().push_to_hub('maker/x')", None, "HubError"),
        ("make_recommender().push_to_hub('a/b/c')", READER, "InputError"),
        ("prepare(DataArguments(dataset='maker/nothing'))", None, "HubError"),
    ],
)
def test_what_the_hub_refuses(hub, client, action, token, expected):
    client.run(
        "from huggingface_hub import create_repo\ncreate_repo('maker/empty', exist_ok=True)\n"
        "make_recommender().push_to_hub('maker/there')"
    )
    assert client.run(f"{KINDS}\nresult = kind(lambda: {action})", token) == expected


@pytest.mark.parametrize(
    "action",
    [
        "Recommender.from_pretrained('maker/gone')",
        "make_recommender().push_to_hub('maker/gone')",
        "prepare(DataArguments(dataset='maker/gone'))",
    ],
)
def test_a_hub_that_cannot_be_reached(client, action):
    snippet = """
import socket
import time
from huggingface_hub import close_session

def fail(*_, **__):
    raise ConnectionRefusedError("no route")

close_session()  # else an open connection is used again
connect, socket.socket.connect = socket.socket.connect, fail
sleep, time.sleep = time.sleep, lambda _: None  # between attempts
try:
    result = kind(lambda: ACTION)
finally:
    socket.socket.connect, time.sleep = connect, sleep
"""
    assert client.run(KINDS + snippet.replace("ACTION", action)) == "HubConnectionError"
