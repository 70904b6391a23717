"""`seqrec export` writes a graph next to a model, and says how it compares."""

import json

import pytest

from seqrec.cli.command_line import main


@pytest.fixture
def model_type():
    return "sasrec"


def test_a_graph_is_written_and_compared(folder, capsys):
    assert main(["export", "--model", str(folder), "--format", "torch-export"]) == 0
    printed = capsys.readouterr().out
    assert f"Exported the model to {folder}/torch-export. On 64 histories, 100% of the lists are the same" in printed
    record = json.loads((folder / "torch-export" / "seqrec_export.json").read_text())
    assert record["compared_with"] == "made-up histories"
    assert record["files"] == ["model.pt2"]


def test_a_missing_graph_is_named(folder, capsys):
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    assert main(["recommend", "--model", str(folder), "--history", "item 1", "--backend", "onnx"]) == 2
    assert f"Make one with `seqrec export --model {folder} --format onnx`." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format", "onx"], "Did you mean onnx?"),
        (["--format", "openvino", "--quantise", "int8"], "Only the format onnx can be quantised, got openvino."),
        (["--format", "onnx", "--dataset", "nowhere.csv"], "nowhere.csv"),
        ([], "--format"),
    ],
)
def test_mistakes_take_one_line(folder, capsys, flags, message):
    assert main(["export", "--model", str(folder), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
