"""What is secret in an address is in nothing that is written or printed, whatever characters it has."""

import re
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtl_seg_depth.system.addresses import check_address, redact, redacted
from mtl_seg_depth.system.errors import UserError

SECRET = st.text(string.ascii_letters + string.digits + string.punctuation + "äß€", min_size=6, max_size=16).filter(
    # What is left where all that a text may end with is taken away must tell it from the rest of the address.
    lambda text: len(re.sub(r"[^a-zA-Z0-9äß€]", "", text)) >= 4
)
SENTENCES = ("{}", "error: {} is away", "- tracking.uri={}", 'tracking.uri="{}"', "GET ({}) failed, {}", "['{}', 'x']")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgresql://u:p@w@host/db", "postgresql://***@host/db"),
        ("GET https://u:p@host/x failed at http://token@b", "GET https://***@host/x failed at http://***@b"),
        ("http://u:p/a#b?c@h:5/x#frag", "http://***@h:5/x#***"),
        ("sqlite:////home/a@b/#1/x.db", "sqlite:////home/a@b/#1/x.db"),
        ("(http://h/x?sig=abc&auth=d)", "(http://h/x?***)"),
        ("exceeded with url: /api?token=abc (Caused by it)", "exceeded with url: /api?*** (Caused by it)"),
        ("http://127.0.0.1:9, or http://[::1]", "http://127.0.0.1:9, or http://[::1]"),
        ("data.train=3? did you mean data.val=3", "data.train=3? did you mean data.val=3"),
    ],
)
def test_a_user_a_password_a_query_and_a_fragment_are_taken_out(text: str, left: str) -> None:
    assert redact(text) == left
    assert redact(left) == left
    assert redacted({"a": [text, 1, None]}) == {"a": [left, 1, None]}


def test_no_password_survives_in_any_sentence(extent: Callable[[int, int], int], observed: Callable[..., None]) -> None:
    cases = 0

    @settings(max_examples=extent(150, 5000), database=None, derandomize=True)
    @given(SECRET, st.sampled_from(SENTENCES), st.sampled_from(["http", "postgresql", "mysql+pymysql"]), st.booleans())
    @example("p@ss/w#o?rd:", SENTENCES[1], "http", False)
    @example("/slash", SENTENCES[0], "http", False)
    def attack(secret: str, sentence: str, scheme: str, encoded: bool) -> None:
        written = quote(secret, safe="") if encoded else secret
        left = {f"anna:{written}@host:5/x": "***@host:5/x", f"{written}@host": "***@host"}
        keys = ("sig", "auth", "token", "password", "q")
        left |= {f"host/x?{key}={quote(secret)}&x=1": "host/x?***" for key in keys}
        for address, shown in left.items():
            nonlocal cases
            cases += 1
            told = redact(sentence.replace("{}", f"{scheme}://{address}"))
            assert told == sentence.replace("{}", f"{scheme}://{shown}")

    attack()
    observed("no part of a user, a password or a query of an address is written or printed", cases=cases, leaks=0)


def test_an_address_that_libraries_take_apart_elsewhere_is_refused_and_not_shown(
    extent: Callable[[int, int], int],
) -> None:
    """They would print what they take for the host."""
    from sqlalchemy import make_url

    @settings(max_examples=extent(100, 2000), database=None, derandomize=True)
    @given(SECRET)
    def attack(secret: str) -> None:
        address = f"postgresql://anna:{secret}@host/db"
        try:
            check_address("tracking.uri", address)
        except UserError as error:
            assert secret not in str(error)
            assert set(secret) & set("@/?#[]")
        else:
            assert make_url(address).host == "host"

    attack()
    check_address("tracking.uri", f"http://anna:{quote('p@ss/w#rd', safe='')}@host")
    check_address("tracking.uri", "sqlite:////home/a@b/#1/x.db")
