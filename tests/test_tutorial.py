"""The tutorial does what it says, from its first page to its last.

The pages are followed in order in one new project: a block with a title becomes that
file, lines with `+` and `-` change it, commands run, and the other blocks run as scripts.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from accel_pattern._new import new_project

PAGES = sorted((Path(__file__).parent.parent / "docs/tutorial").glob("[0-9]*.md"))
FENCE = re.compile(
    r'^```(\w+)(?: title="(.+?)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL
)
ACCEL = "from accel_pattern._cli import main; raise SystemExit(main())"
# What needs the network, what never ends, and what is not there yet.
ELSEWHERE = ("uvx ", "cd ", "uv sync", "uv run uvicorn", "docker ")


@pytest.fixture(scope="module")
def follow(tmp_path_factory):
    """Return a function that follows one page in the project."""
    home = new_project("shop", tmp_path_factory.mktemp("tutorial"))
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("_URL")}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=home,
            env={**inherited, "PYTHONPATH": str(home), "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert not done.returncode, done.stdout + done.stderr

    def follow(page):
        for language, title, text in FENCE.findall(page.read_text("utf-8")):
            if language == "diff":
                change(home / title, text)
            elif title:
                (home / title).parent.mkdir(parents=True, exist_ok=True)
                (home / title).write_text(text, "utf-8")
            elif language == "python":
                run("-c", text)
            elif language == "console":
                for command in commands(text):
                    run(*command)

    return follow


def change(path, lines):
    """Replace what stands in *lines* with ` ` or `-` by what has ` ` or `+`."""
    marked = [(line[:1] or " ", line[1:]) for line in lines.splitlines()]
    old = "\n".join(line for mark, line in marked if mark != "+")
    new = "\n".join(line for mark, line in marked if mark != "-")
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path.name} has this {text.count(old)} times:\n{old}"
    path.write_text(text.replace(old, new), "utf-8")


def commands(text):
    """Return what Python is to run for each command of *text*."""
    for line in filter(None, text.splitlines()):
        if not line.startswith(ELSEWHERE):
            tool, *arguments = shlex.split(line.removeprefix("uv run "))
            start = {"python": [], "accel": ["-c", ACCEL]}.get(tool, ["-m", tool])
            yield [*start, *arguments]


# One test: each page builds on the pages before it.
def test_every_page_does_what_it_says(follow):
    assert PAGES
    for page in PAGES:
        try:
            follow(page)
        except AssertionError as error:
            error.add_note(f"while following {page.name}")
            raise
