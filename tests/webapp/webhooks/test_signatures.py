"""Signatures, held against the scheme's own published example of a key and what it signs."""

import base64

from webapp.webhooks import signatures
from webapp.webhooks.signatures import new_salt, secret_from, signature_of


def test_a_salt_gives_one_secret_and_another_key_of_the_installation_gives_another(settings):
    salt = new_salt()
    secret = secret_from(salt)
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert secret == secret_from(salt) != secret_from(new_salt())
    settings.SECRET_KEY = "another one"
    assert secret != secret_from(salt)


def test_name_time_and_body_are_all_signed():
    salt = new_salt()
    found = {
        signature_of(salt, *said)
        for said in (("a", 1, b"x"), ("b", 1, b"x"), ("a", 2, b"x"), ("a", 1, b"y"))
    }
    assert len(found) == 4


def test_it_is_the_scheme_of_standard_webhooks(monkeypatch):
    """Key, message and signature of the scheme's reference libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    monkeypatch.setattr(signatures, "_key", lambda _salt: key)
    name, at, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    assert signature_of("", name, at, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
