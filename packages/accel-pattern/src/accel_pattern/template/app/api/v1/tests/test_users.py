"""People."""

PERSON = {
    "name": "Alice",
    "login": "alice",
    "email": "alice@example.com",
    "password": "correct horse",
}
URL = "/api/v1/user"


def test_password_is_never_shown(client):
    created = client.post(URL, json=PERSON)
    listed = client.get(URL)

    assert created.status_code == 201
    assert "password" not in created.text
    assert "password" not in listed.text


def test_who_joined_can_log_in(client):
    client.post(URL, json=PERSON)

    right = client.post(
        "/token", data={"username": "alice", "password": "correct horse"}
    )
    wrong = client.post("/token", data={"username": "alice", "password": "battery"})

    assert right.status_code == 200
    assert wrong.status_code == 401


def test_email_belongs_to_one_person(client):
    client.post(URL, json=PERSON)

    again = client.post(URL, json={**PERSON, "login": "alice2"})

    assert again.status_code == 409
    assert "email" in again.json()["detail"]
