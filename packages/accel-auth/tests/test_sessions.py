"""Life of a session: refresh, reuse, logout, introspection."""

import base64

import pytest

from accel_auth import MemoryStore, Rotation, Session, Turn


def tokens(response):
    assert response.status_code == 200, response.text
    return response.json()["access_token"], response.json()["refresh_token"]


def test_refreshing_gives_a_new_pair(service, clock):
    _, first = tokens(service.log_in())
    clock.advance(1000)

    access, second = tokens(service.refresh(first))

    claims = service.me(access).json()
    assert second != first
    assert claims["sub"] == "admin"
    assert claims["iat"] == int(clock())
    assert claims["scope"] == "users:read users:write"


def test_refreshing_twice_within_the_grace_gives_the_same_pair(service, clock):
    _, first = tokens(service.log_in())
    clock.advance(60)

    once = tokens(service.refresh(first))
    clock.advance(9)
    twice = tokens(service.refresh(first))

    assert once == twice
    assert service.me(once[0]).status_code == 200


def test_replay_after_the_grace_kills_the_family(service, clock):
    access, first = tokens(service.log_in())
    newer, second = tokens(service.refresh(first))
    clock.advance(10)

    replay = service.refresh(first)

    assert replay.status_code == 400
    assert replay.json()["error"] == "invalid_grant"
    assert service.refresh(second).status_code == 400
    assert service.me(newer).status_code == 401
    assert service.me(access).status_code == 401
    assert "revoked" in service.me(access).headers["www-authenticate"]


def test_a_token_older_than_the_predecessor_kills_the_family_at_once(service):
    _, first = tokens(service.log_in())
    _, second = tokens(service.refresh(first))
    _, third = tokens(service.refresh(second))

    assert service.refresh(first).status_code == 400
    assert service.refresh(third).status_code == 400


def test_without_grace_the_second_use_is_a_replay(make_service):
    service = make_service(refresh_grace=0)
    _, first = tokens(service.log_in())
    _, second = tokens(service.refresh(first))

    assert service.refresh(first).status_code == 400
    assert service.refresh(second).status_code == 400


def test_other_sessions_of_the_user_live_on(make_service):
    service = make_service(refresh_grace=0)
    _, laptop = tokens(service.log_in())
    phone_access, phone = tokens(service.log_in())
    service.refresh(laptop)

    service.refresh(laptop)

    assert service.me(phone_access).status_code == 200
    assert service.refresh(phone).status_code == 200


@pytest.mark.parametrize("token", ["", "x", "a.b.c"])
def test_what_is_no_refresh_token(service, token):
    response = service.refresh(token)

    assert response.status_code == (400 if token else 422)


def test_an_access_token_does_not_refresh(service):
    access, _ = tokens(service.log_in())

    assert service.refresh(access).status_code == 400


def test_an_idle_session_ends(service, clock):
    _, first = tokens(service.log_in())

    clock.advance(14 * 86_400)

    assert service.refresh(first).status_code == 400


def test_a_session_ends_however_often_it_is_refreshed(service, clock):
    _, refresh = tokens(service.log_in())

    for _ in range(29):
        clock.advance(86_400)
        _, refresh = tokens(service.refresh(refresh))
    clock.advance(86_400)

    assert service.refresh(refresh).status_code == 400


def test_refreshing_asks_the_hook_again(make_service, auth_class, clock):
    class Promoting(auth_class):
        role = "user"

        async def add_jwt_body(self, username):
            return {"role": self.role}

    auth = Promoting(clock=clock)
    service = make_service(auth)
    _, refresh = tokens(service.log_in())

    auth.role = "boss"
    access, _ = tokens(service.refresh(refresh))

    assert service.me(access).json()["role"] == "boss"


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_logout_ends_the_session(service, which):
    pair = service.log_in().json()

    response = service.client.post("/token/revoke", data={"token": pair[which]})

    assert response.status_code == 200
    assert service.me(pair["access_token"]).status_code == 401
    assert service.refresh(pair["refresh_token"]).status_code == 400


def test_logout_reaches_earlier_access_tokens_of_the_session(service):
    access, first = tokens(service.log_in())
    _, second = tokens(service.refresh(first))

    service.client.post("/token/revoke", data={"token": second})

    assert service.me(access).status_code == 401


def test_revoked_tokens_of_a_worker_whose_clock_is_ahead_stay_dead(make_service, clock):
    service = make_service(store=MemoryStore(clock=clock))
    clock.advance(10)
    access, refresh = tokens(service.log_in())
    clock.advance(-10)

    service.client.post("/token/revoke", data={"token": refresh})
    clock.advance(1809)

    assert service.me(access).status_code == 401


def test_revoking_nonsense_is_answered_like_success(service):
    response = service.client.post("/token/revoke", data={"token": "nonsense"})

    assert (response.status_code, response.json()) == (200, {})
    assert service.client.post("/token/revoke", data={}).status_code == 422


def test_revoke_user_ends_every_session(service):
    pairs = [tokens(service.log_in()) for _ in range(3)]
    other, _ = tokens(service.log_in("anna"))

    ended = service.client.portal.call(service.auth.revoke_user, "admin")

    assert ended == 3
    assert {service.me(access).status_code for access, _ in pairs} == {401}
    assert {service.refresh(refresh).status_code for _, refresh in pairs} == {400}
    assert service.me(other).status_code == 200
    assert service.log_in().status_code == 200


def introspect(service, token, authorization):
    headers = {"Authorization": authorization} if authorization else {}
    data = {"token": token}
    return service.client.post("/token/introspect", data=data, headers=headers)


SECRET = "secret of the gateway"


def basic(name, secret):
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def test_introspection_describes_live_tokens(make_service, clock):
    service = make_service(introspection_clients={"gateway": SECRET})
    access, refresh = tokens(service.log_in())

    answers = [
        introspect(service, token, basic("gateway", SECRET)).json()
        for token in (access, refresh)
    ]

    assert [a["active"] for a in answers] == [True, True]
    assert [a["token_type"] for a in answers] == ["access_token", "refresh_token"]
    assert answers[0]["username"] == answers[0]["sub"] == "admin"
    assert answers[0]["scope"] == "users:read users:write"
    assert answers[0]["exp"] == int(clock()) + 1800


def test_introspection_tells_nothing_of_dead_tokens(make_service):
    service = make_service(introspection_clients={"gateway": SECRET})
    access, first = tokens(service.log_in())
    _, second = tokens(service.refresh(first))
    auth = basic("gateway", SECRET)

    assert introspect(service, first, auth).json() == {"active": False}
    assert introspect(service, "junk", auth).json() == {"active": False}
    service.client.post("/token/revoke", data={"token": second})
    assert introspect(service, access, auth).json() == {"active": False}
    assert introspect(service, second, auth).json() == {"active": False}


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        basic("gateway", "wrong"),
        basic("nobody", ""),
        "Basic ???",
        "Basic bm9jb2xvbg==",
        "Bearer junk",
    ],
)
def test_introspection_refuses_strangers(make_service, authorization):
    service = make_service(introspection_clients={"gateway": SECRET})
    access, _ = tokens(service.log_in())

    response = introspect(service, access, authorization)

    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_secret_of_a_client_that_can_be_guessed_is_refused(make_service):
    with pytest.raises(ValueError, match=r"'gateway'.* is 15 bytes.*16") as caught:
        make_service(introspection_clients={"gateway": "0123456789abcde"})

    assert "0123456789abcde" not in str(caught.value)
    assert make_service(introspection_clients={"gateway": "0123456789abcdef"})


def test_users_may_introspect_their_own_tokens_only(service):
    anna, _ = tokens(service.log_in("anna"))
    admin, _ = tokens(service.log_in("admin"))
    tool, _ = tokens(service.log_in("tool"))

    assert introspect(service, anna, f"Bearer {anna}").json()["active"] is True
    assert introspect(service, admin, f"Bearer {anna}").json() == {"active": False}
    assert introspect(service, admin, f"Bearer {tool}").json()["active"] is True


def test_audit_events_tell_the_story_without_secrets(make_service, clock):
    service = make_service(refresh_grace=0)
    seen = []
    unsubscribe = service.auth.subscribe(seen.append)
    service.log_in(password="wrong")
    access, refresh = tokens(service.log_in())
    service.refresh(refresh)
    service.refresh(refresh)
    service.refresh("junk")

    unsubscribe()
    service.log_in()

    assert [event.name for event in seen] == [
        "login_failed",
        "login_succeeded",
        "token_refreshed",
        "refresh_reused",
        "session_revoked",
        "refresh_rejected",
    ]
    assert {event.username for event in seen[:5]} == {"admin"}
    assert {event.client for event in seen[:2]} == {"testclient"}
    assert seen[0].at == clock()
    assert access not in repr(seen)
    assert refresh not in repr(seen)
    assert "wrong" not in repr(seen)


def test_a_subscriber_that_fails_harms_nobody(service, caplog):
    service.auth.subscribe(lambda event: 1 / 0)

    assert service.log_in().status_code == 200
    assert "failed on the event 'login_succeeded'" in caplog.text


@pytest.mark.anyio
async def test_the_memory_store_forgets_what_expired(clock):
    store = MemoryStore(clock=clock)
    for number in range(100):
        await store.open(Session(f"u{number}", "s"), "t", 60)
        await store.deny(f"d{number}", 60)
    await store.rotate(
        Session("u0", "s"), "t", Rotation(Turn.ROTATED, "t2"), ttl=600, grace=0
    )

    clock.advance(61)
    await store.deny("last", 60)

    assert list(store._records) == [Session("u0", "s")]
    assert list(store._by_subject) == ["u0"]
    assert list(store._denied) == ["last"]
    assert len(store._deadlines) == 2
    assert await store.current(Session("u0", "s")) == "t2"


@pytest.mark.anyio
async def test_the_memory_store_does_not_grow_with_use(clock):
    store, session = MemoryStore(clock=clock), Session("anna", "s")
    await store.open(session, "t0", 600)

    for number in range(1000):
        successor = Rotation(Turn.ROTATED, f"t{number + 1}")
        await store.rotate(session, f"t{number}", successor, ttl=600, grace=0)
        await store.deny("stubborn", 60)
        clock.advance(1)

    assert len(store._deadlines) == 2
    assert await store.current(session) == "t1000"
    assert await store.is_denied("stubborn")
    clock.advance(600)
    await store.deny("last", 60)
    assert not store._records
    assert list(store._denied) == ["last"]
