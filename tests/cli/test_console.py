"""The command line on unusual consoles: without Unicode, with a closed pipe, on a full disk, interrupted."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import warnings

import pytest

from seqrec.cli import command_line, console_log
from seqrec.cli.console import INTERRUPTED, exit_status, foreseen, json_text, plain_warnings

BEYOND_ASCII = "Amélie 名前"


def console(encoding):
    """Make a stream of this encoding, strict as Python opens it."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def printed(stream):
    return stream.buffer.getvalue().decode(stream.encoding)


@pytest.fixture
def command(monkeypatch):
    """Replace `seqrec push` by what a test wants to happen."""

    def put(function):
        monkeypatch.setitem(command_line.COMMANDS, "push", lambda argv: function())

    return put


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_what_a_console_cannot_show_is_escaped(command, monkeypatch, encoding):
    monkeypatch.setattr(sys, "stdout", console(encoding))
    command(lambda: print(BEYOND_ASCII))
    assert command_line.main(["push"]) == 0
    expected = BEYOND_ASCII.encode(encoding, errors="backslashreplace").decode(encoding)
    assert printed(sys.stdout) == expected + "\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("text", [BEYOND_ASCII, "\x9b2J", "a\nb\u2028c", "\udcff", "\u202eabc"])
def test_json_is_json_on_every_console_and_commands_no_terminal(monkeypatch, encoding, text):
    monkeypatch.setattr(sys, "stdout", console(encoding))
    written = json_text({"title": text}, indent=2)
    assert json.loads(written) == {"title": text}
    assert all(line.isprintable() for line in written.split("\n"))
    written.encode(encoding)


def test_a_reader_that_goes_away_ends_the_command_quietly(command, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w"))
    monkeypatch.setattr(sys, "stderr", console("utf-8"))
    command(lambda: print("a line"))
    assert command_line.main(["push"]) == 141
    assert printed(sys.stderr) == ""
    sys.stdout.close()  # flushes what is left, to nothing


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
def test_a_full_disk_under_the_output_is_told(command, monkeypatch):
    monkeypatch.setattr(sys, "stdout", os.fdopen(os.open("/dev/full", os.O_WRONLY), "w"))
    monkeypatch.setattr(sys, "stderr", console("utf-8"))
    command(lambda: print("a line"))
    assert command_line.main(["push"]) == 2
    assert printed(sys.stderr) == "seqrec push: No space left on device\n"
    sys.stdout.close()


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_closed_streams_do_no_harm(command, monkeypatch, closed):
    monkeypatch.setattr(sys, closed, None)

    def told_to_both():
        print("a line")
        print("a line", file=sys.stderr)
        assert not sys.stdout.isatty()
        assert not sys.stderr.isatty()

    command(told_to_both)
    assert command_line.main(["push"]) == 0
    getattr(sys, closed).close()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines and a \x1b[2J"), "two lines and a \\x1b[2J"),
        (PermissionError(13, "Permission denied", "runs/model"), "runs/model: Permission denied."),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ConnectionResetError("the other side hung up"), "the other side hung up"),
        (MemoryError(), "There is not enough memory. Use a smaller batch or model."),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] . can't allocate memory"), "[enforce fail at alloc_cpu.cpp"),
        (RuntimeError("WandbCallback requires wandb to be installed."), "WandbCallback requires wandb to be installed"),
        (ImportError("The index needs faiss."), "The index needs faiss."),
    ],
)
def test_what_is_no_fault_of_ours_takes_one_line(command, capsys, error, line):
    def fail():
        raise error

    command(fail)
    assert command_line.main(["push"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"seqrec push: {line}")
    assert told.count("\n") == 1
    assert "\x1b" not in told


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), IndexError("x"), AssertionError(), RuntimeError("x")])
def test_a_fault_of_ours_takes_one_line_too_and_its_traceback_is_shown_on_request(error, monkeypatch, capsys):
    def fail():
        raise error

    assert foreseen(error) is None
    monkeypatch.delenv("SEQREC_TRACEBACK", raising=False)
    assert exit_status("push", fail) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"seqrec push: unexpected {type(error).__name__}: ")
    assert "SEQREC_TRACEBACK=1" in told
    assert told.count("\n") == 1
    monkeypatch.setenv("SEQREC_TRACEBACK", "1")
    with pytest.raises(type(error)):
        exit_status("push", fail)


def test_a_warning_takes_one_line_and_is_told_once():
    before = warnings.formatwarning
    with plain_warnings():
        texts = ["a title of\n two lines: \x1b[2J", "a title of\n two lines: \x1b[2J", "another"]
        told = [warnings.formatwarning(UserWarning(text), UserWarning, "cli.py", 1) for text in texts]
    assert told == ["seqrec: a title of two lines: \\x1b[2J\n", "", "seqrec: another\n"]
    assert warnings.formatwarning is before


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (None, "seqrec: Filters dropped 3 of 100 interactions, and \\x1b[2J.\n"),
        (30, "seqrec: Filters dropped 3 of\n  100 interactions, and\n  \\x1b[2J.\n"),
    ],
)
def test_log_messages_look_like_warnings_and_fit_a_terminal(command, monkeypatch, width, expected):
    monkeypatch.setattr(sys, "stderr", console("utf-8"))
    monkeypatch.setattr(console_log, "terminal_width", lambda stream: width)
    logger = logging.getLogger("seqrec.interactions.preparation")
    command(lambda: logger.warning("Filters dropped %s of 100\ninteractions, and \x1b[2J.", 3))
    assert command_line.main(["push"]) == 0
    assert printed(sys.stderr) == expected
    assert logging.getLogger("seqrec").handlers == []


def test_ctrl_c_is_told_with_its_status(command, capsys):
    def interrupted():
        raise KeyboardInterrupt

    command(interrupted)
    assert command_line.main(["push"]) == 130
    assert capsys.readouterr().err == "\nseqrec push: interrupted.\n"
    assert exit_status("", interrupted) == 130
    assert capsys.readouterr().err == "\nseqrec: interrupted.\n"


@pytest.mark.skipif(not hasattr(signal, "siginterrupt"), reason="signals restart nothing here")
def test_ctrl_c_ends_what_waits_for_ever():
    script = (
        "import os, signal, sys; from seqrec.cli import command_line;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "signal.siginterrupt(signal.SIGINT, False); wait = lambda argv: (print('waits', flush=True), os.read(0, 1));"
        "command_line.COMMANDS['push'] = wait; sys.exit(command_line.main(['push']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(20) == INTERRUPTED
        finally:
            process.kill()
