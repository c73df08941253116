"""Redaction: a key in whatever disguise an endpoint repeats it, and placeholders that are none."""

import html
import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perm_cli.judges.redaction import Redaction

KEY = "sk-SECRET/abc+1234567890"


def escaped(text: str) -> str:
    """Return every character as JSON's longest escape."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


@pytest.mark.parametrize(
    "repeated",
    [
        pytest.param(KEY, id="plain"),
        pytest.param(escaped(KEY), id="escaped"),
        pytest.param(escaped(KEY).upper().replace("U", "u"), id="escaped-in-capitals"),
        pytest.param(escaped(KEY).replace("\\", "\\\\"), id="escaped-twice"),
        pytest.param(KEY[:5] + escaped(KEY[5:]), id="partly-escaped"),
        pytest.param(KEY.replace("/", "\\/"), id="slash"),
        pytest.param(quote(KEY, safe=""), id="url"),
        pytest.param(quote(quote(KEY, safe=""), safe=""), id="url-twice"),
        pytest.param("".join(f"&#{ord(character)};" for character in KEY), id="html"),
        pytest.param("".join(f"&#x{ord(character):x};" for character in KEY), id="html-hexadecimal"),
        pytest.param(b64encode(KEY.encode()).decode(), id="base64"),
        pytest.param(urlsafe_b64encode(KEY.encode()).decode(), id="base64-of-urls"),
        pytest.param(b64encode(f"me:{KEY}".encode()).decode(), id="base64-after-two"),
        pytest.param(b64encode(f"Bearer {KEY}!".encode()).decode(), id="base64-within"),
    ],
)
def test_a_key_is_blotted_out_however_it_is_written(repeated: str) -> None:
    """What stands around it stays."""
    shown = Redaction(KEY)(f"Reason: {repeated} it says.")

    assert shown.startswith("Reason: ")
    assert shown.endswith(" it says.")
    assert "***" in shown
    assert KEY not in html.unescape(shown)
    assert repeated not in shown


@pytest.mark.parametrize(
    "key", [None, "", "1", "k", "token", "score", "EMPTY", "rationale", "effectiveness", "lmstudio"]
)
def test_a_placeholder_is_no_key(key: str | None) -> None:
    """Servers without a key are given one, and such words stand in verdicts."""
    text = json.dumps({"rationale": "1 token", "score": 4, "effectiveness": 9, "k": "EMPTY"})

    assert Redaction(key)(text) == text


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://api.test/v1", "api.test"),
        ("https://api.test:8443/v1", "api.test:8443"),
        (f"http://{KEY}@api.test/v1", "elsewhere"),
        (f"http://me:{quote(KEY, safe='')}@api.test/v1", "api.test"),
        (f"http://{KEY.replace('/', '-').replace('+', '-')}.evil.test/x", "elsewhere"),
        ("http://ecretabc12.evil.test/x", "elsewhere"),
        ("http://[::1", "elsewhere"),
        ("/v2/chat", "elsewhere"),
        ("", "elsewhere"),
    ],
)
def test_a_host_is_named_unless_it_holds_a_piece_of_the_key(location: str, host: str) -> None:
    """A redirect may carry the key, and what carries it is not shown."""
    assert Redaction(KEY).host_of(location) == host


@given(st.text(alphabet=st.characters(codec="latin-1", exclude_categories=["C"]), min_size=8, max_size=40))
def test_any_key_is_found_escaped_or_not(key: str) -> None:
    """Keys are not all of one make."""
    redact = Redaction(key)
    is_secret = len(key) >= 16 or not key.isalpha()

    for written in (key, escaped(key), json.dumps(key)[1:-1]):
        assert ("***" in redact(f"<{written}>")) == is_secret
