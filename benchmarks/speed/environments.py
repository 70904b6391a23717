"""The peers' virtual environments: built once from the package index, and rebuilt if their requirements change."""

import hashlib
import json
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
OURS = "seqrec"


def python_of(name: str) -> str:
    """Return an environment's interpreter, building the environment if necessary; for our own, the running one.

    Raises:
        RuntimeError: If the packages cannot be installed.
    """
    if name == OURS:
        return sys.executable
    requirements = HERE / "requirements" / f"{name}.txt"
    folder = HERE / ".environments" / name
    stamp, python = folder / "requirements.sha256", folder / "bin" / "python"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == digest:
        return str(python)
    print(f"Building the environment of {name}; this takes some minutes.", file=sys.stderr)
    venv.create(folder, clear=True, with_pip=True)
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--requirement", requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The environment of {name} could not be built:\n{done.stderr[-2000:]}")
    stamp.write_text(digest, encoding="utf-8")
    return str(python)


def packages_of(name: str) -> dict[str, str]:
    """Return the versions of all packages in an environment."""
    command = [python_of(name), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {package["name"].lower(): package["version"] for package in json.loads(listed)}
