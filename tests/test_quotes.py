"""Quotes in rationales: found where they were said, flagged where nobody has said them."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perm_cli.reports.quotes import Quote, quotes_in

SAID = "I'm so sorry. You told the doctor straight away, and you don't trust your own hands any more."


def found(rationale: str, *texts: str) -> list[tuple[str, str | None]]:
    """Return each quote with what it was found to be a quote of."""
    return [
        (
            rationale[quote.start : quote.end],
            texts[quote.source[0]][quote.source[1] : quote.source[2]] if quote.source else None,
        )
        for quote in quotes_in(rationale, texts)
    ]


@pytest.mark.parametrize(
    ("rationale", "quote", "source"),
    [
        pytest.param('It says "your own hands" well.', "your own hands", "your own hands", id="straight"),
        pytest.param("It says “your own hands” well.", "your own hands", "your own hands", id="curly"),
        pytest.param("Es heißt „your own hands“ hier.", "your own hands", "your own hands", id="German"),
        pytest.param("Il dit « your own hands » ici.", " your own hands ", "your own hands", id="French"),
        pytest.param("Hier »your own hands« so.", "your own hands", "your own hands", id="guillemets inwards"),
        pytest.param("Här ”your own hands” så.", "your own hands", "your own hands", id="Swedish"),
        pytest.param("「your own hands」です", "your own hands", "your own hands", id="Japanese"),
        pytest.param("It says 'you don't trust' there.", "you don't trust", "you don't trust", id="apostrophe inside"),
        pytest.param("It says ‘you don’t trust’ there.", "you don’t trust", "you don't trust", id="curly apostrophe"),
        pytest.param('"YOUR   own\nhands" is it', "YOUR   own\nhands", "your own hands", id="case and spaces"),
        pytest.param('"your own hands..." trails off', "your own hands...", "your own hands", id="points at the end"),
        pytest.param(
            '"I\'m sorry ... your own hands"', "I'm sorry ... your own hands", None, id="a part nobody said"
        ),
        pytest.param(
            '"told the doctor … your own hands"',
            "told the doctor … your own hands",
            "told the doctor straight away, and you don't trust your own hands",
            id="left out",
        ),
        pytest.param('"told [her] doctor" it says', "told [her] doctor", "told the doctor", id="put in brackets"),
        pytest.param('"I know how you feel" rings hollow', "I know how you feel", None, id="invented"),
        pytest.param("(\"he said 'your own hands' again\")", "he said 'your own hands' again", None, id="nested"),
        pytest.param('an unclosed "and then "your own hands" is', "your own hands", "your own hands", id="unclosed"),
        pytest.param('5\'10" tall, says "your own hands"', "your own hands", "your own hands", id="inches"),
        pytest.param("the seeker's and 'your own hands'", "your own hands", "your own hands", id="possessive"),
    ],
)  # fmt: skip
def test_a_quote_is_found_in_any_marks(rationale: str, quote: str, source: str | None) -> None:
    """Judges write in many languages, and type marks their own way."""
    assert found(rationale, SAID)[0] == (quote, source)


@pytest.mark.parametrize(
    "rationale",
    [
        pytest.param('a "warm" word', id="a word set off"),
        pytest.param('an unclosed "your own hands', id="unclosed"),
        pytest.param("it isn't the seeker's, it's the supporters' own", id="apostrophes"),
        pytest.param('""""', id="marks only"),
        pytest.param("", id="nothing"),
        pytest.param(f'"{"word " * 200}"', id="longer than any quote"),
    ],
)
def test_what_is_no_quote_is_none(rationale: str) -> None:
    """A flag that is wrong costs trust in those that are right."""
    assert quotes_in(rationale, [SAID]) == []


def test_every_quote_is_found_once_each_time_it_stands() -> None:
    """The same words may be quoted twice, and the first text that has them is the source."""
    assert found('"own hands" and "own hands"', "nothing", "own hands, own hands") == [("own hands", "own hands")] * 2
    assert quotes_in('"own hands"', ["nothing", "own hands, own hands"]) == [Quote(1, 10, (1, 0, 9))]


@pytest.mark.parametrize(
    ("text", "quote", "source"),
    [
        pytest.param("😀😀 it was all too much 😀", "it was all TOO much", "it was all too much", id="beyond 16 bits"),
        pytest.param("die große Straße hinab", "GROẞE STRAẞE", "große Straße", id="sharp s"),
        pytest.param("İİ it was all İ too much", "was all İ too", "was all İ too", id="dotted capital I"),
        pytest.param("a  b \n c: it   was all", "it was all", "it   was all", id="runs of spaces before"),
    ],
)
def test_places_are_those_of_the_text_as_it_is(text: str, quote: str, source: str) -> None:
    """Folding may change how many characters there are, and marks would then slip."""
    assert found(f"“{quote}”", text) == [(quote, source)]


@given(
    st.text(st.sampled_from(string.ascii_letters + " \n\t'’-–.ßẞİıﬁ😀éΣς"), min_size=6, max_size=60),
    st.data(),
)
def test_what_is_quoted_back_is_found(text: str, data: st.DataObject) -> None:
    """Any stretch of a text, quoted in other case and spacing, cuts the same words out of it."""
    start = data.draw(st.integers(0, len(text) - 6))
    end = data.draw(st.integers(start + 6, len(text)))
    quote = text[start:end]
    assume(len(" ".join(quote.split()).strip(" .-–'’")) >= 6)

    said = found(f"“{quote.replace(' ', '  ').swapcase() if quote.isascii() else quote}”", text)

    assert len(said) == 1
    assert said[0][1] is not None
    assert plain(said[0][1]) == plain(quote)


def plain(text: str) -> str:
    """Return a text for comparing."""
    alike = text.translate(str.maketrans("’–ẞ", "'-ß")).replace("İ", "\0")
    return " ".join("".join(c.casefold() if len(c.casefold()) == 1 else c for c in alike).split()).strip(" .-'")


@pytest.mark.parametrize("unit", ['"', "'", "“", "'a ", '"a ', "“ß", '"...', "[", "«»", " "])
def test_hostile_rationales_cost_little(unit: str) -> None:
    """Marks without end are looked at once, so that no rationale can stop a report."""
    looked = len(quotes_in(unit * 20_000, ["ß" * 20_000, unit * 20_000]))

    assert looked <= 20_000
