"""Logging in: forms, scopes, and guessing."""

import anyio
import anyio.lowlevel
import pytest
from fastapi import Depends, Request

from accel_auth import (
    LoginThrottle,
    LoginThrottledError,
    TokenTooLargeError,
    jwt_auth,
)


def test_multipart_forms_work_too(service):
    fields = {"username": (None, "admin"), "password": (None, "admin-pw")}

    response = service.client.post("/token", files=fields)

    assert response.status_code == 200


@pytest.mark.parametrize("missing", ["username", "password"])
def test_a_missing_field_is_named(service, missing):
    form = {"username": "admin", "password": "admin-pw", missing: ""}

    response = service.client.post("/token", data=form)

    assert response.status_code == 422
    assert response.json()["detail"] == f"The form field `{missing}` is missing."


@pytest.mark.parametrize("size", [1025, 30_000, 3_000_000])
def test_a_giant_password_is_refused_before_the_hook_and_not_echoed(
    make_service, auth_class, size
):
    asked = []

    class Counting(auth_class):
        async def check_auth(self, username, password):
            asked.append(username)

    response = make_service(Counting()).log_in(password="Z" * size)

    assert response.status_code == 422
    assert "ZZZ" not in response.text
    assert asked == []


def test_a_giant_form_is_refused_while_it_arrives(service):
    response = service.log_in(client_id="x" * 40_000)

    assert response.status_code == 422
    assert response.json()["detail"] == "The form is larger than 32768 bytes."


def test_a_giant_name_is_refused(service):
    response = service.log_in("n" * 257, "x")

    assert response.status_code == 422
    assert "longer than 256 characters" in response.json()["detail"]


@pytest.mark.parametrize("body", [b"\xff\xfe", b"username=%zz&password=%ff", b"{}"])
def test_a_body_that_is_no_form(service, body):
    headers = {"content-type": "application/x-www-form-urlencoded"}

    response = service.client.post("/token", content=body, headers=headers)

    assert response.status_code in (401, 422)


def test_a_broken_multipart_body(service):
    headers = {"content-type": "multipart/form-data; boundary=x"}

    response = service.client.post("/token", content=b"--y\r\n", headers=headers)

    assert response.status_code == 422


@pytest.mark.parametrize(
    ("charset", "name"),
    [("utf-8", b"ad\x00min"), ("utf-8", b"a\x1b[31m"), ("unicode_escape", b"\\ud800")],
)
def test_a_name_that_no_database_takes_never_reaches_the_hook(
    make_service, auth_class, clock, charset, name
):
    asked = []

    class Recording(auth_class):
        async def check_auth(self, username, password):
            asked.append(username)
            return False

    service = make_service(Recording(clock=clock))
    head = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    form = head % (b"username", name) + head % (b"password", b"x") + b"--b--\r\n"
    kind = f"multipart/form-data; boundary=b; charset={charset}"

    response = service.client.post(
        "/token", content=form, headers={"Content-Type": kind}
    )

    assert response.status_code == 422
    assert "characters that no name has" in response.json()["detail"]
    assert not asked


@pytest.mark.parametrize(
    ("charset", "name"), [("idna", b"xn--a-"), ("punycode", b"99999999999999")]
)
def test_a_charset_that_can_not_be_decoded(service, charset, name):
    part = b'--b\r\nContent-Disposition: form-data; name="username"\r\n\r\n'
    kind = f"multipart/form-data; boundary=b; charset={charset}"

    response = service.client.post(
        "/token", content=part + name + b"\r\n--b--\r\n", headers={"Content-Type": kind}
    )

    assert response.status_code == 422
    # Some versions of Python decode what others refuse; then a field is missing.
    assert response.json()["detail"].startswith("The form ")


def test_a_repeated_field_is_refused(service):
    response = service.client.post(
        "/token",
        content="username=anna&username=admin&password=admin-pw",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert response.status_code == 422
    assert response.json()["detail"] == "A form field is given more than once."


def test_an_unknown_grant_type(service):
    response = service.client.post("/token", data={"grant_type": "client_credentials"})

    assert response.status_code == 400
    assert response.json()["error"] == "unsupported_grant_type"


def test_scopes_open_what_they_name(service):
    admin = service.log_in("admin").json()
    anna = service.log_in("anna").json()

    allowed = service.me(admin["access_token"], "/users")
    refused = service.me(anna["access_token"], "/users")

    assert admin["scope"] == "users:read users:write"
    assert allowed.status_code == 200
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="users:read"'
    )


def test_a_missing_token_is_told_the_scope(service):
    challenge = service.client.get("/users").headers["www-authenticate"]

    assert challenge == 'Bearer realm="api", scope="users:read"'


def test_a_login_may_ask_for_less(service):
    token = service.log_in(scope="users:write users:delete").json()

    assert token["scope"] == "users:write"
    assert service.me(token["access_token"], "/users").status_code == 403
    again = service.refresh(token["refresh_token"]).json()
    assert again["scope"] == "users:write"


def test_a_refresh_grants_no_more_than_the_login_did(make_service, auth_class, clock):
    class Promoting(auth_class):
        scope = "read"

        async def add_jwt_body(self, username):
            return {"scope": self.scope}

    auth = Promoting(clock=clock)
    service = make_service(auth)
    pair = service.log_in(scope="read write read").json()

    auth.scope = "read write"
    again = service.refresh(pair["refresh_token"]).json()

    assert pair["scope"] == "read"
    assert again["scope"] == "read"


def test_a_token_that_no_request_could_carry_is_refused_at_login(
    make_service, auth_class, clock
):
    class Talkative(auth_class):
        async def add_jwt_body(self, username):
            return {"story": "x" * 8192}

    service = make_service(Talkative(clock=clock))

    with pytest.raises(TokenTooLargeError, match=r"8192 are accepted.*add_jwt_body"):
        service.log_in()


def test_a_login_can_not_ask_for_more(service):
    response = service.log_in("anna", scope="users:read")

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_scope"


def test_optional_knows_the_caller_and_lets_strangers_in(service):
    token = service.log_in().json()["access_token"]

    assert service.me(token, "/maybe").json()["sub"] == "admin"
    assert service.client.get("/maybe").json() is None
    assert service.me("broken", "/maybe").status_code == 401


def test_claims_are_where_no_dependency_reaches(service):
    @service.app.get("/seen", dependencies=[Depends(jwt_auth)])
    async def seen(request: Request):
        return request.state.jwt

    token = service.log_in().json()["access_token"]

    assert service.me(token, "/seen").json()["sub"] == "admin"


def test_other_schemes_are_no_token(service):
    for value in ("Basic YWRtaW46cHc=", "bearer", "Token x", ""):
        response = service.client.get("/me", headers={"Authorization": value})
        assert response.status_code == 401


def test_the_scheme_is_case_insensitive(service):
    token = service.log_in().json()["access_token"]

    response = service.client.get("/me", headers={"Authorization": f"bEARER  {token}"})

    assert response.status_code == 200


def test_guessing_waits_twice_as_long_each_time(make_service, clock):
    service = make_service(throttle=LoginThrottle(clock=clock))
    waits = []

    for _ in range(5):
        assert service.log_in(password="wrong").status_code == 401
    for _ in range(8):
        response = service.log_in(password="wrong")
        assert response.status_code == 429
        assert response.json()["error"] == "slow_down"
        waits.append(int(response.headers["retry-after"]))
        clock.advance(waits[-1])
        assert service.log_in(password="wrong").status_code == 401

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_there_is_no_hard_lock(make_service, clock):
    service = make_service(throttle=LoginThrottle(clock=clock))
    for _ in range(200):
        service.log_in(password="wrong")
        clock.advance(60)

    assert service.log_in().status_code == 200
    assert service.log_in(password="wrong").status_code == 401


def test_a_throttled_login_is_not_judged(make_service, clock):
    service = make_service(throttle=LoginThrottle(clock=clock))
    for _ in range(5):
        service.log_in(password="wrong")

    right, wrong = service.log_in(), service.log_in(password="wrong")

    assert right.status_code == wrong.status_code == 429
    assert right.json() == wrong.json()


def test_names_that_do_not_exist_are_throttled_alike(make_service, clock):
    service = make_service(throttle=LoginThrottle(clock=clock))

    known = [service.log_in("admin", "wrong").status_code for _ in range(7)]
    unknown = [service.log_in("nobody", "wrong").status_code for _ in range(7)]

    assert known == unknown == [401] * 5 + [429] * 2


@pytest.mark.anyio
async def test_a_stranger_does_not_lock_the_owner_out(clock):
    throttle = LoginThrottle(clock=clock)
    for _ in range(20):
        try:
            await throttle.attempt("admin", "6.6.6.6")
        except LoginThrottledError:
            clock.advance(60)

    await throttle.attempt("admin", "192.0.2.1")


@pytest.mark.anyio
async def test_one_address_can_not_spray_many_names(clock):
    throttle = LoginThrottle(clock=clock)
    for number in range(50):
        await throttle.attempt(f"user{number}", "6.6.6.6")

    with pytest.raises(LoginThrottledError, match=r"Try again in 1 s"):
        await throttle.attempt("user50", "6.6.6.6")


@pytest.mark.anyio
async def test_one_ipv6_host_is_one_address(clock):
    throttle = LoginThrottle(clock=clock)
    for number in range(5):
        await throttle.attempt("admin", f"2001:db8::{number}")

    with pytest.raises(LoginThrottledError):
        await throttle.attempt("admin", "2001:db8::ffff")
    await throttle.attempt("admin", "2001:db8:0:1::1")


@pytest.mark.anyio
async def test_ipv4_clients_of_a_dual_stack_socket_are_told_apart(clock):
    throttle = LoginThrottle(free=1, clock=clock)
    for number in range(10):
        await throttle.attempt(f"name-{number}", "::ffff:192.0.2.1")

    with pytest.raises(LoginThrottledError):
        await throttle.attempt("another", "192.0.2.1")
    await throttle.attempt("another", "::ffff:198.51.100.7")


@pytest.mark.anyio
async def test_many_addresses_can_not_share_one_name_for_long(clock):
    throttle = LoginThrottle(clock=clock)
    for number in range(100):
        await throttle.attempt("admin", f"10.0.0.{number}")

    with pytest.raises(LoginThrottledError):
        await throttle.attempt("admin", "10.0.1.1")


@pytest.mark.anyio
async def test_spellings_of_one_name_share_its_count(clock):
    throttle = LoginThrottle(clock=clock)
    spellings = [f"{'admin'[:n].upper()}{'admin'[n:]}" for n in range(5)]
    for number in range(100):
        await throttle.attempt(spellings[number % 5], f"10.0.0.{number}")

    with pytest.raises(LoginThrottledError):
        await throttle.attempt("ADMIN", "10.0.1.1")


@pytest.mark.anyio
async def test_success_takes_the_attempt_back(clock):
    throttle = LoginThrottle(clock=clock)

    for _ in range(300):
        await throttle.attempt("admin", "192.0.2.1")
        await throttle.succeed("admin", "192.0.2.1")

    await throttle.attempt("admin", "192.0.2.1")


@pytest.mark.anyio
async def test_failures_are_forgotten_after_an_hour(clock):
    throttle = LoginThrottle(clock=clock)
    for _ in range(5):
        await throttle.attempt("admin", "192.0.2.1")

    clock.advance(3601)

    for _ in range(5):
        await throttle.attempt("admin", "192.0.2.1")


@pytest.mark.anyio
async def test_parallel_guesses_gain_nothing(clock):
    throttle = LoginThrottle(clock=clock)
    judged = 0

    for _ in range(50):
        try:
            await throttle.attempt("admin", "6.6.6.6")
        except LoginThrottledError:
            continue
        judged += 1

    assert judged == 5


class WindowLimiter:
    """The shape of the seam "limits": fixed windows, one clock."""

    def __init__(self, clock):
        self.clock = clock
        self.hits = {}

    async def hit(self, key, limit, period):
        await anyio.lowlevel.checkpoint()
        window = (key, self.clock() // period)
        self.hits[window] = self.hits.get(window, 0) + 1
        allowed = self.hits[window] <= limit
        return Result(allowed, 0.0 if allowed else period - self.clock() % period)


class Result:
    def __init__(self, allowed, retry_after):
        self.allowed = allowed
        self.retry_after = retry_after
        self.remaining = 0
        self.reset_after = retry_after


def test_a_limiter_of_another_package_slows_down_too(make_service, clock):
    service = make_service(throttle=LoginThrottle(WindowLimiter(clock), clock=clock))

    answers = [service.log_in(password="wrong") for _ in range(6)]

    assert [a.status_code for a in answers] == [401] * 5 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    clock.advance(60)
    assert service.log_in().status_code == 200


def test_a_limiters_windows_grow(clock, make_service):
    clock.now = 3840.0 * 500_000
    service = make_service(throttle=LoginThrottle(WindowLimiter(clock), clock=clock))
    judged = []

    for minute in range(60):
        answers = [service.log_in(password="wrong") for _ in range(6)]
        judged += [minute for answer in answers if answer.status_code == 401]
        clock.advance(60)

    assert [judged.count(minute) for minute in range(4)] == [5, 5, 0, 0]
    assert len(judged) == 40


def test_correct_logins_do_not_use_up_a_limiters_windows(make_service, clock):
    service = make_service(throttle=LoginThrottle(WindowLimiter(clock), clock=clock))

    right = [service.log_in().status_code for _ in range(100)]
    wrong = [service.log_in(password="wrong").status_code for _ in range(6)]

    assert right == [200] * 100
    assert wrong == [401] * 5 + [429]


@pytest.mark.anyio
async def test_correct_logins_at_many_processes_use_up_nothing(clock):
    limiter = WindowLimiter(clock)
    processes = [LoginThrottle(limiter, clock=clock) for _ in range(20)]

    for throttle in processes * 3:
        await throttle.attempt("admin", "192.0.2.1")
        await throttle.succeed("admin", "192.0.2.1")


@pytest.mark.anyio
async def test_guesses_at_many_processes_gain_one_for_each_in_an_hour(clock):
    clock.now = 3840.0 * 500_000
    limiter = WindowLimiter(clock)
    processes = [LoginThrottle(limiter, clock=clock) for _ in range(4)]
    judged = 0

    for _ in range(60):
        for throttle in processes * 6:
            judged += await passes(throttle)
        clock.advance(60)

    assert judged <= 40 + len(processes)


@pytest.mark.anyio
async def test_parallel_guesses_gain_nothing_with_a_limiter(clock):
    limiter = WindowLimiter(clock)
    throttle = LoginThrottle(limiter, clock=clock)
    judged = []

    async def guess():
        judged.append(await passes(throttle))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(guess)

    assert judged.count(True) == 5


@pytest.mark.anyio
async def test_an_attempt_that_no_limiter_counted_costs_nothing(clock):
    limiter = WindowLimiter(clock)
    throttle = LoginThrottle(limiter, clock=clock)
    await throttle.attempt("admin", "192.0.2.1")
    count = limiter.hit

    for calls in (2, 0, 0, 0, 0, 0):
        limiter.hit = fail_after(count, calls)
        with pytest.raises(ConnectionError):
            await throttle.attempt("admin", "192.0.2.1")
    limiter.hit = count

    assert [await passes(throttle) for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.anyio
async def test_correct_logins_save_up_no_flood_of_guesses(clock):
    throttle = LoginThrottle(WindowLimiter(clock), clock=clock)

    for _ in range(20):
        judged = [await passes(throttle) for _ in range(30)].count(True)
        for _ in range(judged):
            await throttle.succeed("admin", "192.0.2.1")
        clock.advance(60)

    assert judged <= 10


async def passes(throttle):
    try:
        await throttle.attempt("admin", "192.0.2.1")
    except LoginThrottledError:
        return False
    return True


def fail_after(hit, calls):
    left = iter(range(calls))

    async def failing(*args):
        if next(left, None) is None:
            raise ConnectionError
        return await hit(*args)

    return failing


@pytest.mark.anyio
async def test_strangers_do_not_slow_a_known_address(clock):
    throttle = LoginThrottle(clock=clock)
    await throttle.attempt("admin", "192.0.2.1")
    await throttle.succeed("admin", "192.0.2.1")
    for number in range(100):
        await throttle.attempt("admin", f"10.0.0.{number}")

    await throttle.attempt("admin", "192.0.2.1")

    with pytest.raises(LoginThrottledError):
        await throttle.attempt("admin", "192.0.2.2")


def test_the_throttle_may_be_off(make_service):
    service = make_service(throttle=None)

    answers = {service.log_in(password="wrong").status_code for _ in range(30)}

    assert answers == {401}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"free": 0}, r"`free` must be >= 1: 0"),
        ({"base": 0}, r"`base` must be > 0 and <= `longest`: 0, 60"),
        ({"base": 9, "longest": 3}, r"`base` must be > 0 and <= `longest`: 9, 3"),
    ],
)
def test_a_throttle_that_can_not_count_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LoginThrottle(**options)
