"""A real server, in a process of its own: its port, its signals, and the replacement of its model."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection

import pytest
from service_models import save_model

PATIENCE = 60  # seconds


class Server:
    """A running service."""

    def __init__(self, model, *flags):
        command = [sys.executable, "-m", "seqrec.cli", "serve", "--model", str(model), "--device", "cpu", "--port", "0"]
        self.process = subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True)
        self.log, self.has_line = [], threading.Condition()
        self.reading = threading.Thread(target=self.read_log, daemon=True)
        self.reading.start()
        self.port = int(re.search(r":(\d+)$", self.wait_for(event="ready")["address"])[1])

    def read_log(self):
        for line in self.process.stderr:
            with self.has_line:
                self.log.append(json.loads(line))
                self.has_line.notify_all()

    def wait_for(self, **facts):
        """Return the first line of the log with these facts."""

        def found():
            return [line for line in self.log if facts.items() <= line.items()]

        with self.has_line:
            assert self.has_line.wait_for(found, PATIENCE), self.log
            return found()[0]

    def ask(self, method, path, body=None, headers=None):
        """Return status and content of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = json.loads(answer.read())
        connection.close()
        return answer.status, content

    def recommend(self, *history):
        status, content = self.ask("POST", "/recommend", json.dumps({"history": history, "k": 3}))
        assert status == 200, content
        return content


@contextmanager
def running(model, *flags):
    """Run a service, and end it."""
    server = Server(model, *flags)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        server.reading.join()
        server.process.stderr.close()


@pytest.fixture
def folder(plain_folder, tmp_path):
    """A model that may be replaced."""
    return shutil.copytree(plain_folder, tmp_path / "model")


def wait_until(condition):
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_its_life(folder):
    """One process serves all tests that need one, as starting it takes seconds."""
    with running(folder, "--watch_seconds", "0.1", "--timeout", "2") as server:
        port_in_use(server, folder)
        large_and_slow_bodies(server)
        is_replaced_without_a_pause(server, folder)
        keeps_the_model_before_a_broken_one(server, folder)
        reloads_on_sighup(server)
        answers_what_is_under_way_at_the_end(server)
    assert not [line for line in server.log if "item 3" in json.dumps(line)]


def port_in_use(server, folder):
    command = ["seqrec.cli", "serve", "--model", str(folder), "--port", str(server.port)]
    run = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    sentence = (
        f"Port {server.port} of 127.0.0.1 is in use. Stop the program that uses it, or choose another with --port."
    )
    assert run.stderr == f"seqrec serve: {sentence}\n"


def large_and_slow_bodies(server):
    status, content = server.ask("POST", "/recommend", b" " * 50_000_000)
    assert (status, content["error"].partition(".")[0]) == (413, "The body has more than 2,097,152 bytes")
    status, content = server.ask("POST", "/recommend", json.dumps({"histories": [[]] * 10_000}))
    assert (status, content["error"]) == (
        422,
        "The request has 10,000 histories, more than 1,000. Divide it into several.",
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as slow:
        slow.sendall(b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n{")
        slow.settimeout(0.05)
        answer = b""
        while not answer:  # another byte does not give it more time, and others are answered meanwhile
            slow.sendall(b" ")
            assert server.recommend("item 3")["results"]
            with suppress(TimeoutError):
                answer = slow.recv(10_000)
        slow.settimeout(PATIENCE)
        answer += b"".join(iter(lambda: slow.recv(10_000), b""))  # until the service closes the connection
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not arrive within 2 seconds" in answer
    assert server.recommend("item 3")["results"]


def is_replaced_without_a_pause(server, folder):
    before = server.recommend("item 3")
    versions, stop = [], threading.Event()

    def ask_on():
        while not stop.is_set():
            versions.append(server.recommend("item 3")["model_version"])

    asking = threading.Thread(target=ask_on)
    asking.start()
    save_model(folder, seed=1)
    server.wait_for(event="reload", result="replaced")
    after = server.recommend("item 3")
    stop.set()
    asking.join()
    assert after["model_version"] != before["model_version"]
    assert after["results"] != before["results"]
    assert set(versions) <= {before["model_version"], after["model_version"]}
    assert versions == sorted(versions, key=lambda version: version == after["model_version"])
    assert server.ask("GET", "/model")[1]["last_reload"]["result"] == "replaced"


def keeps_the_model_before_a_broken_one(server, folder):
    before = server.recommend("item 3")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    line = server.wait_for(event="reload", result="failed")
    assert line["level"] == "error"
    assert server.recommend("item 3") == before
    last = server.ask("GET", "/model")[1]["last_reload"]
    assert last["result"] == "failed"
    assert "model.safetensors" in last["error"]


def reloads_on_sighup(server):
    number = len(server.log)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any(line.get("event") == "reload" for line in server.log[number:]))
    assert server.recommend("item 3")["results"]


def answers_what_is_under_way_at_the_end(server):
    body = json.dumps({"history": ["item 3"], "k": 3}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as late:
        head = f"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        late.sendall(head + body[:5])
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        late.sendall(body[5:])
        assert late.recv(10_000).startswith(b"HTTP/1.1 200")
    assert server.process.wait(PATIENCE) == 0
