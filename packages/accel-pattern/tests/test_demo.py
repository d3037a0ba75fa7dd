"""The command `accel demo`, as a newcomer uses it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from fastapi.testclient import TestClient

from accel_db.testing import postgres_server
from accel_pattern._cli import main
from accel_pattern._demo._servers import claim_port, masked
from accel_pattern._demo._stops import STOPS
from accel_pattern._demo._upstream import FlakyTranslator

COMMAND = (sys.executable, "-m", "accel_pattern", "demo", "--port", "0")


def run(*arguments, **env):
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def assert_every_stop_is_fine(done):
    assert done.returncode == 0, done.stdout + done.stderr
    marks = re.findall(r"^(ok|FAILED)\b", done.stdout, flags=re.MULTILINE)
    assert marks == ["ok"] * len(STOPS)


def test_tour_on_what_is_bundled():
    done = run("--tour", DATABASE_URL="", REDIS_URL="")

    assert_every_stop_is_fine(done)
    assert "cache redis://" in done.stdout


def test_tour_on_postgresql():
    with postgres_server() as url:
        done = run("--tour", DATABASE_URL=url, REDIS_URL="")

    assert_every_stop_is_fine(done)


def test_runs_until_interrupted_and_leaves_nothing(tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": ""}
    with subprocess.Popen(
        COMMAND, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        lines = list(iter(demo.stdout.readline, "Stop it with Ctrl-C.\n"))
        url = re.search(r"http://\S+", lines[0])[0]
        with urllib.request.urlopen(f"{url}/healthcheck") as answer:
            assert answer.status == 200
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=120)

    assert demo.returncode == 0
    assert "Login: admin / " in "".join(lines)
    assert "Traceback" not in errors
    assert list(tmp_path.glob("accel-*")) == []
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


class TestOneClearLine:
    """What the user can mend is said in one line, without a traceback."""

    def assert_one_line(self, done, *words):
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        for word in words:
            assert word in done.stderr

    def test_taken_port(self, capsys):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]

            code = main(["demo", "--port", str(port)])

        assert code == 1
        assert capsys.readouterr().err == (
            f"accel: Port {port} is taken. Stop what uses it, or let us find a free "
            "one: accel demo --port 0\n"
        )

    def test_database_that_is_away(self):
        done = run(DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/shop")

        self.assert_one_line(done, "does not answer", "Correct DATABASE_URL")
        assert "hunter2" not in done.stderr

    @pytest.mark.parametrize("url", ["nonsense", "oracle://x", "postgresql://:"])
    def test_url_that_is_none(self, url):
        self.assert_one_line(run(DATABASE_URL=url), "Correct DATABASE_URL")

    @pytest.mark.parametrize("scheme", ["postgresql", "redis"])
    def test_url_with_half_of_an_address_leaks_no_password(self, scheme):
        url = f"{scheme}://me:hunter2@[::1/shop"
        kind = "REDIS_URL" if scheme == "redis" else "DATABASE_URL"

        done = run(**{"DATABASE_URL": "", kind: url})

        self.assert_one_line(done, f"Correct {kind}")
        assert "hunter2" not in done.stderr

    @pytest.mark.parametrize("url", ["redis://:hunter2@127.0.0.1:1", "nonsense"])
    def test_redis_that_is_away(self, url):
        done = run(DATABASE_URL="", REDIS_URL=url)

        self.assert_one_line(done, "Correct REDIS_URL")
        assert "hunter2" not in done.stderr

    def test_port_out_of_range(self, capsys):
        with pytest.raises(SystemExit):
            main(["demo", "--port", "70000"])

        assert "a port lies between 0 and 65535" in capsys.readouterr().err


class TestUpstream:
    def ask(self, client, text="hello"):
        return client.post(
            "/v1/translateHtml", json=[[text.split("\n"), "en", "ru"], "te_lib"]
        )

    def test_translates_line_by_line(self):
        client = TestClient(FlakyTranslator().app)

        assert self.ask(client, "hello\nworld").json() == [["привет"], ["мир"]]

    def test_fails_on_demand(self):
        client = TestClient(FlakyTranslator().app)

        seen = {}
        for mode in ("flaky", "down", "steady"):
            client.post(f"/mode/{mode}")
            seen[mode] = [self.ask(client).status_code for _ in range(4)]

        assert seen == {
            "flaky": [503, 200, 503, 200],
            "down": [503] * 4,
            "steady": [200] * 4,
        }

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[[1,2,3],4]", b"\xff"])
    def test_nonsense_is_a_bad_request(self, body):
        client = TestClient(FlakyTranslator().app)

        assert client.post("/v1/translateHtml", content=body).status_code == 400

    def test_unknown_mode_is_not_found(self):
        assert TestClient(FlakyTranslator().app).post("/mode/odd").status_code == 404


def test_port_zero_is_a_free_one():
    port = claim_port(0)

    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", port))


def test_masked_url_keeps_what_is_no_secret():
    assert masked("postgresql://me:pw@h:5/d") == "postgresql://me:***@h:5/d"
    assert masked("redis://:pw@h") == "redis://:***@h"
    assert masked("sqlite:///a.db") == "sqlite:///a.db"
