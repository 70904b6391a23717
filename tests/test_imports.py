"""`import seqrec` loads nothing heavy, and transformers knows its models whichever is imported first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqrec.modeling.modeling_auto import ARCHITECTURES
from seqrec.registration import MODELS

HEAVY = ("torch", "transformers", "numpy", "polars", "pyarrow", "datasets", "huggingface_hub", "accelerate", "yaml")
SCRIPT = Path(__file__).parent / "fixtures" / "import_orders.py"
ORDERS = [
    "import seqrec; from transformers import pipeline",
    "import seqrec; from transformers import Trainer, GenerationMixin",
    "import seqrec, peft",
    "import seqrec, transformers.modeling_layers",  # which imports the Auto classes, and which models need
    "from transformers import AutoModel, pipeline; import seqrec",
    "from seqrec import SasRecForNextItem",
    "import seqrec.hub.remote_code",
]
HEAD_MAPPINGS = {
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING",
    "AutoModelForMaskedLM": "MODEL_FOR_MASKED_LM_MAPPING",
}


def loaded_by(code):
    """Return which of the heavy packages a program imports."""
    code = f"{code}\nimport sys\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.split()


def test_importing_the_package_imports_nothing_heavy():
    assert loaded_by("import seqrec; assert seqrec.__version__; dir(seqrec)") == []


def test_recommending_and_training_load_no_drawing_library():
    code = "import sys; from seqrec import Recommender, SequentialTrainer; import seqrec.cli.recommend_command"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'matplotlib' not in sys.modules"], check=True)


def test_auto_config_loads_no_models():
    code = "import sys, seqrec; from transformers import AutoConfig; AutoConfig.for_model('sasrec', vocab_size=103)"
    heavy = "[name for name in ('transformers.modeling_utils', 'seqrec.modeling.pretrained') if name in sys.modules]"
    subprocess.run([sys.executable, "-c", f"{code}; assert not {heavy}, {heavy}"], check=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_every_order_of_imports():
    run = subprocess.run([sys.executable, str(SCRIPT), *ORDERS], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_models_that_are_announced_are_those_that_are_registered():
    announced = {
        model_type: (f"{prefix}Config", f"{prefix}Model", f"{prefix}ForNextItem", mapping)
        for model_type, (prefix, mapping) in MODELS.items()
    }
    ours = [classes for classes in ARCHITECTURES if classes[0].__module__.startswith("seqrec.")]
    assert announced == {
        classes[0].model_type: (*(one.__name__ for one in classes), HEAD_MAPPINGS[classes[1].objective.auto_class])
        for classes in ours
    }
