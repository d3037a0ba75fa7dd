"""What the page of features claims is proved by tests that exist."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "integration" / "features.md"

# Every feature that a comparison of such libraries has found in any of them.
FEATURES = (
    "exponential backoff and jitter",
    "`Retry-After` honoured, in seconds and as a date",
    "retry on a result or a status",
    "retry budget",
    "hedging, after a delay or a percentile",
    "bulkhead",
    "breaker by failure rate in a sliding window",
    "limit on half-open probes",
    "manual isolation and closing",
    "breaker state shared in Redis",
    "throttle that waits or rejects",
    "throttle per key",
    "adaptive concurrency",
    "sync and async functions",
    "deadline propagation",
    "fallback sees the arguments and the exception",
    "validation of the order",
    "OpenTelemetry",
    "decorators keep signatures",
    "test helpers with a fake clock",
    "chaos injection",
    "imperative use",
)


def rows():
    """Return feature, whether we have it, and its test, of each row of the page."""
    lines = PAGE.read_text("utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if "`test_" in line]
    return [(row[0], row[1], row[-1]) for row in cells]


def names_of_tests(name):
    tree = ast.parse((HERE / name).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_page_has_every_feature_and_claims_all_of_them():
    assert tuple(feature for feature, _, _ in rows()) == FEATURES
    assert {ours for _, ours, _ in rows()} == {"yes"}


def test_every_feature_names_a_test_that_exists():
    missing = []

    for feature, _, proof in rows():
        match = re.fullmatch(r"`(test_\w+\.py)::(test_\w+)`", proof)
        if match is None or match[2] not in names_of_tests(match[1]):
            missing.append((feature, proof))

    assert not missing
