"""One URL asks both halves for TLS, and both verify what it says."""

import ssl

import pytest
import trustme
from sqlalchemy import make_url, select, text

from accel_db import ConfigurationError, MainDatabaseManager, Orm, OrmAsync, Unavailable
from accel_db._urls import database_urls

from .tls_front import TlsFront

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """Give the paths of certificates: of the authority, of a stranger, of a client."""
    home = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(home / "stranger.pem"))
    client = authority.issue_cert("client@example.org")
    client.cert_chain_pems[0].write_to_path(str(home / "client.pem"))
    key = home / "client.key"
    key.touch(mode=0o600)
    client.private_key_pem.write_to_path(str(key))
    return home


@pytest.fixture
def context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def front(context, postgres):
    with TlsFront(context, make_url(postgres).port) as front:
        yield front


@pytest.fixture
def plain(postgres):
    with TlsFront(None, make_url(postgres).port) as front:
        yield front


def url_of(front, query, *, host="localhost", driver="postgresql"):
    return f"{driver}://postgres:geheim@{host}:{front.own_port}/postgres?{query}"


async def ask_both_halves(url):
    """Return what kept each half from an answer, or None."""
    manager = MainDatabaseManager(url, name=f"tls {url}")
    reasons = [None, None]
    statement = select(text("1"))
    try:
        with manager.session() as session:
            Orm(session).get_list(statement)
    except Unavailable as exc:
        reasons[0] = str(exc)
    try:
        async with manager.asession() as session:
            await OrmAsync(session).get_list(statement)
    except Unavailable as exc:
        reasons[1] = str(exc)
    await manager.adispose()
    assert "geheim" not in str(reasons)
    return reasons


@pytest.mark.parametrize(
    ("query", "encrypted"),
    [
        ("", True),
        ("sslmode=disable", False),
        ("sslmode=prefer", True),
        ("sslmode=require", True),
        ("sslmode=require&sslrootcert={ca}", True),
        ("sslmode=verify-ca&sslrootcert={ca}", True),
        ("sslmode=verify-full&sslrootcert={ca}", True),
        ("sslmode=require&ssl_min_protocol_version=TLSv1.3", True),
        ("ssl=disable", False),
        ("ssl=require", True),
        ("ssl=true", True),
        ("ssl=verify-full&sslrootcert={ca}", True),
    ],
)
@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
async def test_one_url_serves_both_drivers(front, files, driver, query, encrypted):
    query = query.format(ca=files / "ca.pem")

    reasons = await ask_both_halves(url_of(front, query, driver=driver))

    assert reasons == [None, None]
    assert front.encrypted == [encrypted] * 2


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=require&sslrootcert={stranger}",
        "sslmode=verify-ca&sslrootcert={stranger}",
        "sslmode=verify-full&sslrootcert={stranger}",
        "sslrootcert={stranger}",
        "sslrootcert=system",
        "ssl=verify-ca&sslrootcert={stranger}",
    ],
)
async def test_a_certificate_of_a_stranger_is_refused(front, files, query):
    query = query.format(stranger=files / "stranger.pem")

    reasons = await ask_both_halves(url_of(front, query))

    assert all("certificate verify failed" in reason for reason in reasons)
    assert front.encrypted == []


async def test_another_host_of_the_same_authority_is_refused(front, files):
    full = f"sslmode=verify-full&sslrootcert={files / 'ca.pem'}"
    lenient = f"sslmode=verify-ca&sslrootcert={files / 'ca.pem'}"

    sync, awaited = await ask_both_halves(url_of(front, full, host="127.0.0.1"))
    without_name = await ask_both_halves(url_of(front, lenient, host="127.0.0.1"))

    assert 'certificate for "localhost" does not match host name' in sync
    assert "certificate verify failed: IP address mismatch" in awaited
    assert without_name == [None, None]


async def test_the_log_says_what_is_wrong_with_a_certificate(front, files, caplog):
    query = f"sslmode=verify-full&sslrootcert={files / 'ca.pem'}"
    manager = MainDatabaseManager(url_of(front, query, host="127.0.0.1"), name="ping")

    answers = [manager.ping(), await manager.aping()]
    await manager.adispose()

    messages = [x.getMessage() for x in caplog.records if x.name == "accel_db"]
    assert answers == [False, False]
    assert "does not match host name" in messages[0]
    assert "IP address mismatch" in messages[1]
    assert "geheim" not in caplog.text


async def test_a_client_shows_its_certificate(front, context, authority, files):
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    query = f"sslmode=verify-full&sslrootcert={files / 'ca.pem'}"
    shown = f"{query}&sslcert={files / 'client.pem'}&sslkey={files / 'client.key'}"

    refused = await ask_both_halves(url_of(front, query))
    reasons = await ask_both_halves(url_of(front, shown))

    assert None not in refused
    assert reasons == [None, None]


@pytest.mark.parametrize("query", ["", "sslmode=prefer", "sslmode=disable"])
async def test_a_server_without_tls_is_good_enough_for_some(plain, query):
    assert await ask_both_halves(url_of(plain, query)) == [None, None]


@pytest.mark.parametrize(
    "query", ["sslmode=require", "sslmode=verify-full&sslrootcert={ca}", "ssl=require"]
)
async def test_a_server_without_tls_is_refused(plain, files, query):
    query = query.format(ca=files / "ca.pem")

    sync, awaited = await ask_both_halves(url_of(plain, query))

    assert "server does not support SSL" in sync
    assert "rejected SSL upgrade" in awaited


async def test_who_verifies_without_authorities_hears_where_they_are_missing(
    front, tmp_path, monkeypatch
):
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "none.crt"))

    sync, _ = await ask_both_halves(url_of(front, "sslmode=verify-full"))

    assert 'none.crt" does not exist' in sync


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sslmode=yes", "must be one of disable, allow, .* verify-full: 'yes'"),
        ("ssl=false", "must be one of disable, allow, .* verify-full: 'false'"),
        ("sslmode=require&ssl_min_protocol_version=3", "written like `TLSv1.3`: '3'"),
    ],
)
def test_what_is_no_mode_is_said_to_be(query, message):
    with pytest.raises(ConfigurationError, match=message):
        database_urls(f"postgresql://h/d?{query}")


def test_servers_that_begin_with_tls_are_for_asyncpg_too():
    urls = database_urls("postgresql://h/d?sslmode=require&sslnegotiation=direct")

    assert urls.async_args == {"direct_tls": True, "ssl": "require"}
