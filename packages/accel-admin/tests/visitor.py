"""A browser, as far as the tests need one."""

import re

from argon2 import PasswordHasher

KEY = "a key for tests that is long enough"
PASSWORD = "correct horse battery"
# Cheap to check, so that the tests are fast.
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Visitor:
    """Follows links and fills in forms with Flask's test client."""

    def __init__(self, app):
        self.client = app.test_client()

    def get(self, path, **kwargs):
        return self.client.get(path, **kwargs)

    def token(self):
        # Where there is nothing to log out of, this leads to the login.
        page = self.get("/admin/logout", follow_redirects=True).text
        return TOKEN.search(page)[1]

    def post(self, path, data=None, **kwargs):
        form = {"csrf_token": self.token(), **(data or {})}
        return self.client.post(path, data=form, **kwargs)

    def log_in(self, username="admin", password=PASSWORD, **kwargs):
        form = {"username": username, "password": password}
        return self.post("/admin/login", form, **kwargs)

    def flashes(self):
        """Return the messages that the next page would show."""
        page = self.get("/admin/").text
        return re.findall(r'<div class="alert[^>]*>([^<]*)</div>', page)
