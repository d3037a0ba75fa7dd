"""The testing kit, in the tests of a user."""

import re


def test_the_tests_of_a_user_pass(service, new_database):
    service.env["TEST_DATABASE_URL"] = new_database()

    done = service.run(
        *("-m", "pytest", "tests", "-q", "-p", "no:cacheprovider", "-W", "error"),
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^9 passed", done.stdout, re.MULTILINE)
