"""Everything this workspace checks, one session each. `nox -l` lists them.

Each package is tested alone: its wheel is built, installed with nothing but the
dependencies it declares, and tested there. What passes is what we publish.

    nox                         # every check, on the Python that runs Nox
    COVERAGE=1 nox              # the same, and which lines the tests reach
    nox -s accel-integration    # one package, on every supported Python
    nox -t matrix               # every package, on every supported Python
"""

import functools
import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "uv"
nox.options.error_on_external_run = True
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent
DIST = ROOT / "dist"

PACKAGES = {
    path.parent.name: nox.project.load_toml(path)
    for path in sorted(ROOT.glob("packages/*/pyproject.toml"))
}
PYTHONS = nox.project.python_versions(nox.project.load_toml(ROOT / "pyproject.toml"))
# Recording coverage makes tests take half as long again: ask for it by COVERAGE=1.
MEASURES = os.environ.get("COVERAGE") == "1"
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

# What must not be importable where nothing but the package is installed.
STAYS_OUT = {
    "accel-admin": ["alembic", "fastapi", "pytest", "redis"],
    "accel-auth": ["flask", "pytest", "redis", "sqlalchemy"],
    "accel-cache": ["fastapi", "flask", "pytest", "sqlalchemy"],
    "accel-db": ["alembic", "fastapi", "flask", "pytest", "redis", "starlette"],
    "accel-integration": [
        *("alembic", "fastapi", "flask", "pytest", "redis", "sqlalchemy", "starlette"),
    ],
    "accel-pattern": ["pytest"],
    "accel-viewset": ["alembic", "flask", "pytest", "redis"],
}

nox.options.sessions = [
    "lint",
    "types",
    "imports",
    "docs",
    *(f"{package}-{THIS_PYTHON}" for package in PACKAGES),
    f"extras-{THIS_PYTHON}",
    f"workspace-{THIS_PYTHON}",
    "browser",
    *(["coverage"] if MEASURES else []),
]


# Packages ------------------------------------------------------------------------


@nox.session(venv_backend="none", default=False)
def build(session: nox.Session) -> None:
    """Build every wheel into dist/, and pin the siblings to those files."""
    for data in ROOT.glob(".coverage*"):
        data.unlink()
    session.run(
        *("uv", "build", "--all-packages", "--wheel", "--no-sources", "--clear"),
        *("--quiet", "--out-dir", str(DIST)),
        external=True,
    )
    pins = [f"{package} @ {wheel(package).as_uri()}\n" for package in PACKAGES]
    (DIST / "siblings.txt").write_text("".join(pins))


def package_session(package: str) -> None:
    """Define the session that tests *package* alone."""

    def test(session: nox.Session) -> None:
        pins = constraints(session, "--package", package)

        session.install("--exact", *pins, str(wheel(package)))
        session.run("python", "-Ic", PROBE, *probe_args(package), log=False)
        for example in sorted(ROOT.glob(f"packages/{package}/examples/*.py")):
            session.run("python", "-I", str(example))

        group = f"packages/{package}/pyproject.toml:test"
        session.install(*pins, "--no-sources", "--group", group)
        measure(session, package, modules(package), f"packages/{package}/tests")

    test.__doc__ = PACKAGES[package]["project"]["description"]
    nox.session(test, name=package, python=PYTHONS, tags=["matrix"], requires=["build"])


for name in PACKAGES:
    package_session(name)


@nox.session(python=PYTHONS, tags=["matrix"], requires=["build"])
def workspace(session: nox.Session) -> None:
    """Test what crosses packages, with every wheel installed."""
    pins = constraints(session, "--all-packages")
    wheels = [str(wheel(package)) for package in PACKAGES]
    session.install("--exact", *pins, "--no-sources", *wheels, "--group", "test")
    everything = [module for package in PACKAGES for module in modules(package)]
    measure(session, "workspace", everything, "tests")


@nox.session(python=PYTHONS, tags=["matrix"], requires=["build"])
def extras(session: nox.Session) -> None:
    """Install each extra of each package alone, and import the package with it."""
    for package, project in PACKAGES.items():
        for extra in project["project"].get("optional-dependencies", {}):
            pins = constraints(session, "--package", package)
            session.install("--exact", *pins, f"{wheel(package)}[{extra}]")
            session.run("python", "-Ic", PROBE, ",".join(modules(package)), log=False)


@nox.session
def browser(session: nox.Session) -> None:
    """Test pages in a real browser, where `chromium` is; say so where it is not."""
    sync(session, "--all-packages", "--all-extras", "--group", "browser")
    session.run("pytest", "packages/accel-admin/tests/browser", *session.posargs)


@nox.session(python=PYTHONS[0], default=False, requires=["build"])
def lowest(session: nox.Session) -> None:
    """Test each package with the oldest dependencies that it claims to support."""
    for package in PACKAGES:
        # A wheel's requirements count as indirect, which get the newest release; those
        # of a project file count as direct. What is installed already would stay.
        project = f"packages/{package}/pyproject.toml"
        session.install(
            *("--exact", "--upgrade", "--resolution=lowest-direct"),
            *(str(wheel(package)), "--requirements", project, "--all-extras"),
            *("--constraint", str(DIST / "siblings.txt"), "--no-sources"),
            *("--group", f"{project}:test"),
        )
        session.run("pytest", f"packages/{package}/tests", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Combine what the sessions above measured, and report it."""
    sync(session, "--only-group", "test")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


# Sources -------------------------------------------------------------------------


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format; `nox -s lint -- --fix` repairs what it can."""
    sync(session, "--only-group", "lint")
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))
    session.run("ruff", "check", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Check our types with mypy, and our users' with every other checker."""
    sync(session, "--all-packages", "--group", "types")
    session.run("mypy")
    session.run("ty", "check", "--quiet", "tests/typing")
    session.run("pyrefly", "check", "--summary=none", "tests/typing")


@nox.session(default=False)
def pyright(session: nox.Session) -> None:
    """Check what users see in VS Code; apart, because it brings a whole Node.js."""
    sync(session, "--all-packages", "--group", "pyright")
    session.run("basedpyright", "tests/typing")


@nox.session
def imports(session: nox.Session) -> None:
    """Check that packages import each other only downwards."""
    sync(session, "--all-packages", "--group", "imports")
    session.run("lint-imports", "--no-logo")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/; a broken link or anchor fails."""
    sync(session, "--all-packages", "--group", "docs")
    session.run("zensical", "build", "--strict", "--clean")
    session.run("python", "docs/.build/checks.py")


@nox.session(venv_backend="none", default=False)
def release(session: nox.Session) -> None:
    """Bump, build, and tag one package: `nox -s release -- accel-db minor`."""
    package, part = session.posargs
    uv = functools.partial(session.run, "uv", external=True)
    uv("version", "--package", package, "--bump", part)
    uv("run", "pytest", "-q", "tests/test_house.py")
    uv("build", "--package", package, "--no-sources", "--clear", "--out-dir", str(DIST))
    version = nox.project.load_toml(ROOT / f"packages/{package}/pyproject.toml")
    tag = f"{package}-{version['project']['version']}"
    session.run("git", "commit", "--all", "--message", f"Release {tag}", external=True)
    session.run("git", "tag", tag, external=True)
    session.log(
        f"Now: git push --follow-tags, and `uv publish dist/*` from CI for {tag}."
    )


# Tools ---------------------------------------------------------------------------

PROBE = """\
import importlib, importlib.util, sys
for module in sys.argv[1].split(","):
    importlib.import_module(module)
if found := [name for name in sys.argv[2:] if importlib.util.find_spec(name)]:
    sys.exit(f"These must stay out of this environment: {', '.join(found)}.")
"""


def probe_args(package: str) -> list[str]:
    """Return what PROBE needs to know about *package*."""
    return [",".join(modules(package)), *STAYS_OUT.get(package, [])]


def wheel(package: str) -> Path:
    """Return the built wheel of *package*."""
    (path,) = DIST.glob(f"{package.replace('-', '_')}-*.whl")
    return path


def modules(package: str) -> list[str]:
    """Return the import names that *package* ships."""
    typed = ROOT.glob(f"packages/{package}/src/*/py.typed")
    return sorted(path.parent.name for path in typed)


def constraints(session: nox.Session, *selection: str) -> list[str]:
    """Pin siblings to their built wheels, and everything else to the lockfile."""
    locked = Path(session.create_tmp(), "locked.txt")
    session.run(
        *("uv", "export", "--frozen", *selection, "--all-groups"),
        *("--all-extras", "--no-emit-workspace", "--no-hashes"),
        *("--quiet", "--output-file", str(locked)),
    )
    return ["--constraint", str(DIST / "siblings.txt"), "--constraint", str(locked)]


def measure(session: nox.Session, name: str, source: list[str], tests: str) -> None:
    """Run *tests*; where coverage is wanted, record what of *source* they reach."""
    if not MEASURES:
        session.run("pytest", tests, *session.posargs)
        return
    # SQLAlchemy's asyncio layer switches greenlets, which the tracer must follow.
    greenlet = any(Path(session.virtualenv.location).glob("lib/*/*/greenlet"))
    session.run(
        *("coverage", "run", f"--source={','.join(source)}"),
        *(["--concurrency=greenlet,thread"] if greenlet else []),
        *("-m", "pytest", tests, *session.posargs),
        env={"COVERAGE_FILE": str(ROOT / f".coverage.{name}-{session.python}")},
    )


def sync(session: nox.Session, *args: str) -> None:
    """Install from the lockfile into the session's environment."""
    env = {"UV_PROJECT_ENVIRONMENT": session.virtualenv.location}
    flags = ("--frozen", "--no-default-groups", "--quiet")
    session.run_install("uv", "sync", *flags, *args, env=env)


if __name__ == "__main__":
    nox.main()
