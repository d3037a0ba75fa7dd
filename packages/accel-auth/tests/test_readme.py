"""Every example of the README runs as it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE
)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_example_runs(number, tmp_path):
    script = tmp_path / "example.py"
    script.write_text(BLOCKS[number])

    run = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert run.returncode == 0, run.stderr


def test_there_are_examples():
    assert len(BLOCKS) == 2
