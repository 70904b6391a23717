"""Training in a terminal: no line is wider than it, whatever happens."""

import os
import re
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

import seqrec

pty = pytest.importorskip("pty", reason="there are no terminals like these here")
import fcntl
import termios

TINY = ["--hidden_size", "16", "--intermediate_size", "32", "--max_position_embeddings", "20", "--device", "cpu"]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CTRL_C = b"\x03"


def run(width, *arguments, keys=b"", after=None, **environment):
    """Run `seqrec` in a terminal of a width; type `keys` after something is shown; return the output and status."""
    own, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    command = [sys.executable, "-m", "seqrec.cli", *arguments]
    package = str(Path(seqrec.__file__).parents[1])  # also if the test has changed to another folder
    settings = {**os.environ, "PYTHONPATH": package, "TERM": "xterm-256color", **environment}
    process = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=settings, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(terminal)
    shown, until = b"", time.monotonic() + 120
    while time.monotonic() < until:
        if not select.select([own], [], [], 1)[0]:
            continue
        try:
            shown += os.read(own, 1 << 16)
        except OSError:  # the terminal is closed
            break
        if keys and after in shown:
            os.write(own, keys)
            keys = b""
    os.close(own)
    return shown.decode(), process.wait(20)


def lines_of(shown):
    """List everything that was ever shown as a line, also what was replaced later."""
    return [line for line in re.split(r"[\r\n]+", ESCAPE.sub("", shown)) if line.strip()]


@pytest.fixture
def table(tmp_path):
    """Interactions with long titles, and another file with them."""
    rows = [f"u{user},i{(user + step) % 9},{step}" for user in range(40) for step in range(6)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    titles = [f"i{item},千と千尋の神隠し and a long story of {'many ' * 20}words" for item in range(9)]
    (tmp_path / "titles.csv").write_text("\n".join(["item_id,title", *titles]) + "\n", encoding="utf-8")
    return ["--dataset", str(tmp_path / "log.csv"), "--items", str(tmp_path / "titles.csv")]


@pytest.mark.parametrize(
    ("width", "header"),
    [
        (80, "epoch    loss  ndcg@10   hr@10  mrr@10     time     left"),
        (40, "epoch    loss  ndcg@10     time     left"),
    ],
)
def test_a_training_fits_the_terminal_from_start_to_end(tmp_path, monkeypatch, table, width, header):
    monkeypatch.chdir(tmp_path)
    flags = ["--output_dir", "runs/m", "--num_train_epochs", "3", "--duplicates", "last", *TINY]
    shown, status = run(width, "train", *table, *flags, NO_COLOR="1")
    assert status == 0, shown
    lines = lines_of(shown)
    assert max(columns(line) for line in lines) <= width
    assert re.search(r"\x1b\[[\d;]*m", shown) is None  # no colours
    assert "{" not in shown
    assert lines.count(header) == 1
    assert sum(re.match(r" +\d+ +\d\.\d{4} +0\.\d{4}", line) is not None for line in lines) == 3
    assert any("epoch 2/3" in line for line in lines)  # the bar
    assert re.search(r"  seqrec recommend (\\ +)?--model runs/m (\\ +)?--history i\d,i\d,i\d$", " ".join(lines))
    assert shown.count("…") >= 15  # titles


def columns(line):
    """Count a line's columns; Japanese letters take two."""
    return sum(2 if "\u3000" < letter < "\ua000" else 1 for letter in line)


def test_ctrl_c_removes_the_bar_and_takes_one_line(tmp_path, table):
    flags = ["--output_dir", str(tmp_path / "m"), "--num_train_epochs", "9999", *TINY]
    shown, status = run(80, "train", *table, *flags, keys=CTRL_C, after=b"    2  ")
    assert status == 130
    assert "Traceback" not in shown
    told = shown[shown.rindex("seqrec train: interrupted.") :].splitlines()
    assert told == ["seqrec train: interrupted. Add --resume_from_checkpoint true to continue."]
    before = ESCAPE.sub("", shown[: shown.rindex("seqrec train: interrupted.")])
    assert before.rstrip("\n").split("\r")[-1].strip() == ""  # the bar is gone
