"""The examples of the README run as they are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = (Path(__file__).parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example, tmp_path):
    file = tmp_path / "example.py"
    file.write_text(example)

    done = subprocess.run(
        [sys.executable, "-W", "error", file.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_examples():
    assert EXAMPLES
