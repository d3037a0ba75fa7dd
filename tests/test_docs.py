"""Every Python block of the documentation runs, every link leads somewhere."""

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]
FENCE = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
PACKAGES = sorted(path.name for path in ROOT.glob("packages/*/src/accel_*"))
# The pages of the tutorial build on each other: test_tutorial.py follows them.
ALONE = [page for page in PAGES if page.parent.name != "tutorial"]
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}:{number}")
    for page in ALONE
    for number, block in enumerate(FENCE.findall(page.read_text()), start=1)
]

# Each block is a script in a process of its own. To import our packages takes longer
# than most blocks: one process does it, and becomes a copy of itself for each block.
NURSERY = """\
import importlib, json, os, signal, sys, types
for module in json.loads(sys.argv.pop()):
    importlib.import_module(module)
for line in sys.stdin:
    block, folder = json.loads(line)
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    signal.alarm(60)
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in 1, 2:
        os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    sys.modules["__main__"] = main = types.ModuleType("__main__")
    exec(compile(block, "<block>", "exec"), main.__dict__)
    sys.exit()
"""
HEAVY = [*PACKAGES, "accel_pattern.testing", "fastapi.testclient", "pydantic"]


@pytest.fixture(scope="module")
def nursery():
    command = [sys.executable, "-W", "error", "-c", NURSERY, json.dumps(HEAVY)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


@pytest.mark.parametrize("block", BLOCKS)
def test_block_runs(block, nursery, tmp_path):
    nursery.stdin.write(json.dumps([block, str(tmp_path)]) + "\n")
    nursery.stdin.flush()
    code = nursery.stdout.readline()

    assert code == "0\n", (tmp_path / "said").read_text()


def links_of(page):
    prose = re.sub(
        r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    prose = re.sub(r"`[^`\n]*`", "", prose)
    return re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", prose)


def anchors_of(page):
    """Return the anchors of *page*: its headings, and what the reference adds."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    anchors = {slug(heading) for heading in headings}
    for name in re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE):
        anchors.add(name)
        if re.fullmatch(r"accel_[a-z]+(\.testing)?", name):
            exported = importlib.import_module(name).__all__
            anchors |= {f"{name}.{part}" for part in exported}
    return anchors


def slug(heading):
    """Return the anchor of a heading, as Python-Markdown makes it."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    plain = re.sub(r"[^\w\s-]", "", plain).strip().lower()
    return re.sub(r"[-\s]+", "-", plain)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_resolve(page):
    missing = []
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            missing.append(link)

    assert not missing


@pytest.mark.parametrize("package", PACKAGES)
def test_reference_describes_the_whole_package(package):
    """`nox -s docs` checks that each name of `__all__` was rendered."""
    page = DOCS / "reference" / f"{package.removeprefix('accel_')}.md"

    assert f"\n::: {package}\n" in page.read_text()
    assert "members:" not in page.read_text()


def pages_of(entry):
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in pages_of(part)]


def test_every_page_is_in_the_navigation_once():
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]

    listed = sorted(pages_of(navigation))

    assert listed == sorted(str(page.relative_to(DOCS)) for page in PAGES[1:])
