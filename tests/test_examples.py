"""Every example runs as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(ROOT.glob("examples/*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert not done.returncode, done.stderr
    assert done.stdout


def test_orders_of_the_worker_end_as_they_should(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "worker_with_database.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )

    assert done.stdout == "1 20 paid\n2 50 paid\n3 300 refused\n"
