"""What we show runs as it is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent
README = (HOME / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(*args, timeout=60):
    return subprocess.run(
        [sys.executable, "-W", "error", *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_of_the_readme_runs_by_itself(number):
    result = run("-c", BLOCKS[number])

    assert result.returncode == 0, result.stderr


def test_first_block_prints_what_the_readme_says():
    result = run("-c", BLOCKS[0])

    assert result.stdout == "city='Oslo' degrees=-3.5\n"
    assert f"It prints `{result.stdout.strip()}`" in README


def test_worker_of_the_examples_translates_every_word():
    result = run(str(HOME / "examples" / "worker.py"))

    assert result.returncode == 0, result.stderr
    for word in ("house", "river", "bridge", "lamp", "window", "garden"):
        assert f"{word}: sana" in result.stdout
    assert "again in" in result.stdout
    assert "secret" not in result.stdout + result.stderr


def test_benchmark_prints_its_multiples():
    result = run(str(HOME / "benchmarks" / "overhead.py"), "--rounds", "1")

    assert result.returncode == 0, result.stderr
    assert re.search(r"all four +\d+\.\d\d x bare", result.stdout)
