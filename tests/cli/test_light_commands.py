"""Help, versions and mistakes are answered without loading anything heavy, and Ctrl-C ends also the loading."""

import signal
import subprocess
import sys

import pytest

from seqrec.cli.declared_flags import config_flag_names, data_flag_names, training_flag_names
from seqrec.cli.parsers import flag_names
from seqrec.cli.train_command import own_flags
from seqrec.cli.train_flags import train_parser
from seqrec.modeling.modeling_auto import ARCHITECTURES, MODEL_TYPES

HEAVY = (
    "torch",
    "transformers",
    "numpy",
    "polars",
    "pyarrow",
    "datasets",
    "accelerate",
    "tokenizers",
    "matplotlib",
    "optuna",
)
LIGHT = [
    [],
    ["--help"],
    ["--version"],
    ["trian"],
    ["--vesion"],
    ["train"],
    ["train", "--learning_rat", "1"],
    ["train", "--dataset", "synthetic", "--hiden-size", "8"],
    ["train", "--dataset", "nowhere.csv"],
    ["train", "--dataset", "synthetic", "--model_type", "sasrek"],
    ["train", "--dataset", "synthetic", "--output_dir", " "],
    ["serve", "--help"],
    ["serve", "--model", "nowhere"],
    ["endpoint", "--help"],
    ["demo", "--help"],
    ["demo", "--model", "nowhere"],
    ["demo", "--model", "o/m", "--host", "::1"],
    ["space", "--help"],
    ["space", "--model", "nowhere", "--output_dir", "new"],
    ["tune", "--help"],
    ["tune", "--dataset", "synthetic"],
    ["tune", "--dataset", "synthetic", "--trials", "0"],
    ["tune", "--dataset", "synthetic", "--minutes", "1", "--trials", "2"],
    ["tune", "--dataset", "synthetic", "--minuts", "1"],
    ["tune", "--dataset", "nowhere.csv", "--trials", "2"],
    ["prepare", "--datset", "synthetic", "--output_dir", "new"],
    ["prepare", "--dataset", "no/where/at/all", "--output_dir", "new"],
    ["evaluate", "--mdel", "m"],
    ["evaluate", "--model", "nowhere", "--dataset", "synthetic"],
    ["evaluate", "--model", "", "--dataset", "synthetic"],
    ["evaluate", "--model", "o/m", "--dataset", "synthetic", "--split", "tset"],
    ["recommend", "--help"],
    ["recommend", "--modle", "m"],
    ["recommend", "--model", "nowhere", "--history", "1"],
    ["recommend", "--model", "o/m", "--history", "1", "--k", "0"],
    ["recommend", "--model", "o/m", "--history", "1", "--index", "exat"],
    ["recommend", "--model", "o/m", "--history", "1", "--rank_by", "rating"],
    ["recommend", "--model", "o/m", "--history", "1", "--rerank_from", "9"],
    ["recommend", "--model", "o/m", "--history", "1", "--diversity", "2"],
    ["recommend", "--model", "o/m", "--history", "1", "--max_per", "genres"],
    ["export", "--help"],
    ["export", "--model", "nowhere", "--format", "onnx"],
    ["export", "--model", "o/m", "--format", "onnxx"],
    ["predict", "--help"],
    ["predict", "--model", "o/m", "--input", "pairs.csv"],
    ["predict", "--model", "nowhere", "--input", "pairs.csv", "--output", "out.csv"],
    ["predict", "--model", "o/m", "--input", "pairs.csv", "--output", "out.txt"],
    ["add-items", "--help"],
    ["add-items", "--model", "m", "--itms", "new.csv"],
    ["add-items", "--model", "o/m", "--items", "nowhere.csv", "--output_dir", "new"],
    ["hide-items", "--help"],
    ["hide-items", "--model", "o/m", "--items", "nowhere.csv", "--output_dir", "new"],
    ["show-items", "--model", "o/m", "--items", ",", "--output_dir", "new"],
    ["push", "--help"],
    ["push", "--model", "m", "--repo", "o/m"],
]


def test_what_needs_no_model_loads_none(tmp_path):
    script = (
        "import sys; from seqrec.cli.command_line import main\n"
        f"for argv in {LIGHT}:\n"
        "    try: main(argv)\n"
        "    except SystemExit: pass\n"
        f"    loaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "    assert not loaded, (argv, loaded)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr
    mistakes = [argv for argv in LIGHT if argv and "--help" not in argv and argv != ["--version"]]
    assert run.stderr.count("\n") == len(mistakes), run.stderr


def test_the_names_read_from_the_source_are_those_that_are_parsed():
    read = flag_names(own_flags(MODEL_TYPES)) | data_flag_names() | training_flag_names() | config_flag_names()
    parsed = set()
    for config_class, _, _ in ARCHITECTURES:
        if config_class.__module__.startswith("seqrec."):
            parsed |= flag_names(train_parser(["--model_type", config_class.model_type]))
    assert read == {name for name in parsed if not name.startswith("no_")} - {"h", "help", "help_all"}


@pytest.mark.parametrize("command", ["prepare", "evaluate"])
@pytest.mark.parametrize("flags", [["--help"], ["--duplicates", "frist"]], ids=["help", "mistake"])
def test_the_flags_of_the_data_need_no_torch(tmp_path, command, flags):
    own = {"prepare": ["--output_dir", "new"], "evaluate": ["--model", "o/m"]}[command]
    script = (
        "import sys; from seqrec.cli.command_line import main\n"
        f"try: print(main({[command, '--dataset', 'synthetic', *own, *flags]}))\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules or 'datasets' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr
    assert ("usage" in run.stdout) if flags == ["--help"] else ("Did you mean first?" in run.stderr)


ENDLESS = "import time\nprint('loading', flush=True)\n"
IMPORTS = {
    "waits": ENDLESS + "time.sleep(60)",
    "turns it into another error": ENDLESS
    + "try: time.sleep(60)\nexcept KeyboardInterrupt: raise ImportError('only half was imported') from None",
    "ignores it in a callback": ENDLESS
    + "class Slow:\n    def __del__(self): time.sleep(60)\nSlow()\nwhile True: time.sleep(0.01)",
}


@pytest.mark.parametrize("code", IMPORTS.values(), ids=IMPORTS)
@pytest.mark.parametrize(
    "argv", [["train", "--dataset", "synthetic"], ["recommend", "--model", "o/m", "--history", "1"]], ids=lambda a: a[0]
)
def test_ctrl_c_while_a_library_loads_takes_one_line(tmp_path, code, argv):
    (tmp_path / "numpy.py").write_text(code)
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from seqrec.cli.command_line import main"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{script}\nsys.exit(main())", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    with process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        try:
            _, told = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert told.strip() == f"seqrec {argv[0]}: interrupted."
