# ruff: noqa: INP001  # Run by path, never imported as a package.
"""What the built site must keep: it loads nothing from elsewhere and leaves no name out."""

import importlib
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from macros import PACKAGES

SITE = Path(__file__).parents[2] / "site"

# A link that a reader may follow is fine; what the browser follows by itself is not.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b[^>]*\brel=["']?(?:stylesheet|icon|preload|preconnect|dns-prefetch)"""
    r"""\b[^>]*\bhref=["']?(?:https?:)?//"""
    r"""|@import[^;]*//|url\(["']?(?:https?:)?//"""
    # The theme's own script fetches from a CDN what these need, once a page has one.
    r"""|\bclass=["']?[^"'>]*\b(?:mermaid|pyodide|glightbox)\b"""
)


def foreign_sources() -> Iterator[str]:
    """Name the pages and style sheets that load something from another host."""
    for page in [*SITE.rglob("*.html"), *SITE.rglob("*.css")]:
        if found := LOADED.search(page.read_text(encoding="utf-8")):
            yield f"{page.relative_to(SITE)} loads {found[0]!r} from elsewhere."


def missing_names() -> Iterator[str]:
    """Name what a package exports and the reference does not describe."""
    # Four lines of header, then compressed lines that begin with a name.
    inventory = (SITE / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(inventory).decode().splitlines()
    known = {line.split(" ", 1)[0] for line in lines}
    for package in PACKAGES:
        for name in importlib.import_module(package).__all__:
            if f"{package}.{name}" not in known:
                yield f"{package}.{name} is not in the reference."


if __name__ == "__main__":
    problems = [*foreign_sources(), *missing_names()]
    sys.exit("\n".join(problems) or None)
