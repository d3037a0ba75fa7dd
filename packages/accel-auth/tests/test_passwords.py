"""Password hashes: off the loop, bounded, and silent about who exists."""

import asyncio
import statistics
import time

import pytest

from accel_auth import PasswordHasher, PasswordTooLongError

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def hasher():
    return PasswordHasher(memory_cost=8192)


async def test_a_hash_knows_its_password(hasher):
    stored = await hasher.hash("correct horse")

    assert stored.startswith("$argon2id$")
    assert await hasher.verify(stored, "correct horse")
    assert not await hasher.verify(stored, "wrong horse")
    assert stored != await hasher.hash("correct horse")


async def test_the_same_letters_from_another_keyboard(hasher):
    stored = await hasher.hash("caf\u00e9")

    assert await hasher.verify(stored, "cafe\u0301")


async def test_no_user_and_no_argon2_hash_are_refusals(hasher, caplog):
    assert not await hasher.verify(None, "anything")
    assert not await hasher.verify("md5:0123abcd", "anything")
    assert not await hasher.verify("!0123abcd", "anything")
    assert not await hasher.verify("pbkdf2_sha256$many$salt$0123abcd", "anything")
    assert not await hasher.verify("pbkdf2_sha256$0123abcd", "anything")
    assert caplog.text.count("is unreadable") == 4
    assert "0123abcd" not in caplog.text


# "correct horse" by Django 6.1, with fewer iterations than it would take.
DJANGO = "pbkdf2_sha256$1000$seasalt$mQnueSakb748zqBAC1tmWVZsZbi2zPGZarEzTGdfmso="


async def test_users_of_django_log_in_and_are_hashed_again(hasher):
    own = await hasher.hash("correct horse")

    for stored in (DJANGO, f"argon2{own}"):
        assert await hasher.verify(stored, "correct horse")
        assert not await hasher.verify(stored, "wrong horse")
        assert hasher.needs_rehash(stored)
    assert not hasher.needs_rehash(own)


@pytest.mark.parametrize("password", ["x" * 1025, "\u00e9" * 600, "x" * 5_000_000])
async def test_a_giant_password_is_refused_before_any_work(hasher, password):
    with pytest.raises(PasswordTooLongError, match=r"longer than 1024 bytes") as caught:
        await hasher.hash(password)
    with pytest.raises(PasswordTooLongError):
        await hasher.verify(None, password)

    assert caught.value.http_status == 422


async def test_other_parameters_need_a_rehash(hasher):
    weaker = PasswordHasher(memory_cost=4096)
    stored = await weaker.hash("pw")

    assert hasher.needs_rehash(stored)
    assert not weaker.needs_rehash(stored)
    assert await hasher.verify(stored, "pw")


async def test_known_and_unknown_users_take_the_same_time(hasher):
    stored = await hasher.hash("pw")
    times = {stored: [], None: []}

    for _ in range(25):
        for target, found in times.items():
            start = time.thread_time()
            hasher._verify(target, b"wrong")
            found.append(time.thread_time() - start)

    known, unknown = (statistics.median(found) for found in times.values())
    assert unknown == pytest.approx(known, rel=0.5)


class Counting:
    """Counts how many hashes are computed at the same time."""

    def __init__(self, argon):
        self.argon = argon
        self.running = 0
        self.most = 0

    def hash(self, secret):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return self.argon.hash(secret)
        finally:
            self.running -= 1


async def test_hashing_leaves_the_loop_free_and_waits_in_line():
    hasher = PasswordHasher(workers=1, memory_cost=16_384)
    counting = hasher._argon = Counting(hasher._argon)
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await asyncio.gather(*(hasher.hash("pw") for _ in range(6)))
    ticking.cancel()

    assert counting.most == 1
    assert ticks > 50
