"""Send `seqrec serve` generated requests, valid and invalid, and check its answers against its own description.

    pip install schemathesis
    python benchmarks/serving/check_api.py --model runs/ml-100k

It fails if an answer does not follow the schema, an invalid request is accepted, a status or content type is not
described, or the service breaks. Sequences of requests are generated as well. It takes some minutes, so it is no part
of the tests.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from running import HOST, service

KEY = "a-key-of-enough-length"
# A description cannot tell which items and columns a model has, so requests that follow it may get 422.
LEFT_OUT = "positive_data_acceptance"


def main() -> None:
    """Run the service with and without keys, and check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--examples", type=int, default=100, help="generated requests for each path (default: 100)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with TemporaryDirectory() as aside:
        keys = Path(aside, "keys")
        keys.write_text(KEY + "\n", encoding="utf-8")
        statuses = [check(given), check(given, "--api_keys", str(keys))]
    sys.exit(max(statuses))


def check(given: argparse.Namespace, *flags: str) -> int:
    """Check a service with these flags, and return schemathesis' exit status."""
    with service(given.model, *flags) as port:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://{HOST}:{port}/openapi.json"]
        options = {
            "checks": "all",
            "exclude-checks": LEFT_OUT,
            "mode": "all",
            "phases": "examples,coverage,fuzzing,stateful",
            "max-examples": given.examples,
            "seed": given.seed,
            "header": f"X-API-Key: {KEY}",
        }
        told = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return subprocess.run([*command, *told, "--continue-on-failure"], check=False).returncode


if __name__ == "__main__":
    main()
