"""Judges as `perm` meets them: what is said of them, what they are forgiven, and what stops a run."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from perm_cli.judges.retrying import retrying
from tests.commands import AT_ONCE, Perm, Result, runner
from tests.loopback import Answer, Answering, Loopback, loopback, refusal, verdict
from tests.makers import row, written

KEY = "sk-never-to-be-seen"
RUN = Path("run")
DIMENSIONS = 4


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Perm]:
    """Return a function that runs the command line, waiting for nothing between tries."""
    with retrying(AT_ONCE):
        yield runner(monkeypatch, capsys)


def dialogues(*marks: str) -> Path:
    """Write dialogues, each with a mark in it that every prompt shows."""
    turns = [
        [
            {"role": "seeker", "text": f"CASE:{mark}. I lost number {place}."},
            {"role": "supporter", "text": "That hurts."},
        ]
        for place, mark in enumerate(marks)
    ]
    return written(Path("d.jsonl"), [row(place, turns=each) for place, each in enumerate(turns)])


def score(perm: Perm, server: Loopback, path: Path, *more: object) -> Result:
    """Score with the server's judge."""
    return perm("score", path, "--judge", "openai/m", "--base-url", server.url, "--out", RUN, *more)


def statuses(run: Path = RUN) -> dict[str, Counter[str]]:
    """Return how often each status was given, by dialogue."""
    found: dict[str, Counter[str]] = {}
    for line in (run / "ratings.jsonl").read_text().splitlines():
        rating = json.loads(line)
        found.setdefault(rating["dialogue_id"], Counter())[rating["status"]] += 1
    return found


def to(mark: str, answer: Answer) -> Answering:
    """Answer one dialogue like this, and all others with a verdict."""
    return lambda body: answer if f"CASE:{mark}." in json.dumps(body["messages"]) else verdict(body)


def test_a_redirected_judge_is_named_with_its_address(perm: Perm) -> None:
    """The user asked for a provider's model, so the line comes before the first call."""
    path = dialogues("x")

    with loopback() as server:
        Path("perm.toml").write_text(f'[judges."openai/m"]\nmodel = "openai/m"\nbase_url = "{server.url}"\n')
        results = [perm("score", path, "--judge", "openai/m"), perm("judges", "check", "openai/m")]

    said = f"perm.toml: judge 'openai/m' goes to {server.url}, not to its provider"
    assert [said in result.err.splitlines()[0] for result in results] == [True, True]


@pytest.mark.parametrize("key", ["1", "k", "token", "score", "rationale", "EMPTY"])
def test_a_placeholder_for_a_key_changes_no_answer(perm: Perm, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Servers without a key are given any word, and it may stand in their answers too."""
    monkeypatch.setenv("JUDGE_KEY", key)

    with loopback() as server:
        result = score(perm, server, dialogues("a"), "--api-key-env", "JUDGE_KEY", "--json")

    summary = json.loads(result.out)
    assert (result.code, summary["statuses"], summary["tokens"]["in"]) == (0, {"scored": DIMENSIONS}, 400)


def test_a_key_that_is_repeated_in_disguise_is_nowhere(perm: Perm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the run folder nor on the terminal, and the verdict is read all the same."""
    monkeypatch.setenv("JUDGE_KEY", KEY)
    escaped = "".join(f"\\u{ord(character):04x}" for character in KEY)

    with loopback(lambda _: Answer(text=f'{{"rationale": "{escaped}", "score": 3}}', message={"name": KEY})) as server:
        result = score(perm, server, dialogues("a"), "--api-key-env", "JUDGE_KEY", "--min-coverage", "0.5")

    kept = "".join(path.read_text() for path in RUN.rglob("*") if path.is_file())
    assert (result.code, statuses()["d0"]["scored"]) == (0, 3)
    assert not [
        each for each in (KEY, escaped, escaped.replace("\\", "\\\\")) if each in kept + result.out + result.err
    ]


class TestOneDialogueInTrouble:
    """What ails one dialogue is said of that one, wherever it stands."""

    @pytest.mark.parametrize("place", [0, 2])
    @pytest.mark.parametrize(
        ("answer", "status", "calls"),
        [
            pytest.param(refusal(400, "Content Exists Risk"), "refused", 1, id="moderated"),
            pytest.param(refusal(400, "no"), "failed", 2, id="unexplained"),
            pytest.param(refusal(429, "Request too large for m"), "failed", 1, id="too-large"),
            pytest.param(Answer(body=b'{"choices": []}'), "failed", 3, id="empty-choices"),
            pytest.param(refusal(500, "fell over"), "failed", 8, id="server"),
        ],
    )
    def test_the_run_goes_on(self, perm: Perm, place: int, answer: Answer, status: str, calls: int) -> None:
        """The others are rated and fused."""
        marks = ["fine"] * 4
        marks[place] = "odd"

        with loopback(to("odd", answer)) as server:
            result = score(perm, server, dialogues(*marks))

        odd = [body for body in server.requests if "CASE:odd." in json.dumps(body["messages"])]
        assert statuses() == {
            f"d{each}": {"scored" if each != place else status: DIMENSIONS} for each in range(len(marks))
        }
        assert len(odd) == calls * DIMENSIONS
        assert (result.code, (RUN / "rewards.jsonl").exists()) == (3, True)

    def test_what_is_left_of_a_run_may_be_nothing_else(self, perm: Perm) -> None:
        """The judge has answered others in the run before, and is not called dead for these."""
        path = dialogues("odd", "odd", "odd", "fine")

        with loopback(to("odd", Answer(body=b'{"choices": []}'))) as server:
            codes = [score(perm, server, path).code for _ in range(2)]

        assert codes == [3, 3]

    def test_two_dialogues_refused_without_a_reason_stop_a_run(self, perm: Perm) -> None:
        """It is the judge then, and finding out costs a few calls."""
        with loopback(lambda _: refusal(400, "no")) as server:
            result = score(perm, server, dialogues("a", "b", "c"))

        assert (result.code, "refuses the request: no (HTTP 400)" in result.err) == (1, True)
        assert len(server.requests) == 4


class TestNoVerdict:
    """A judge that never gives a verdict is not paid to the end."""

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            pytest.param(Answer(text="Das kann ich leider nicht."), "'Das kann ich leider nicht.'", id="refuses"),
            pytest.param(Answer(text="A warm reply.\nIndeed."), "'A warm reply. Indeed.'", id="prose"),
            pytest.param(Answer(text="I cannot do that."), "'I cannot do that.'", id="declines"),
            pytest.param(Answer(text=""), "the last: an empty reply", id="nothing"),
            pytest.param(Answer(body=b'{"choices": []}'), "an answer without choices", id="empty"),
            pytest.param(
                Answer(text="<think>Let me see", finish_reason="length"), "raise --max-tokens or let it", id="thinks"
            ),
        ],
    )
    def test_it_stops_after_a_handful_with_one_quoted(self, perm: Perm, answer: Answer, said: str) -> None:
        """And what to do about it."""
        with loopback(lambda _: answer) as server:
            result = score(perm, server, dialogues(*"abcdefgh"))

        assert (result.code, said in result.err.splitlines()[-1]) == (1, True)
        assert sum(map(Counter.total, statuses().values())) == 8
        assert len(server.requests) <= 8 * 3

    def test_one_verdict_is_enough_to_go_on(self, perm: Perm) -> None:
        """Then the others are this judge's weakness, and the coverage says so."""
        with loopback(to("odd", Answer(text="A warm reply."))) as server:
            result = score(perm, server, dialogues("odd", "fine", "odd", "odd", "odd"))

        assert (result.code, [*statuses()["d4"]]) == (3, ["unparseable"])

    def test_a_batch_is_not_sent(self, perm: Perm, monkeypatch: pytest.MonkeyPatch) -> None:
        """A day later it would be as many replies without a verdict."""
        monkeypatch.setenv("JUDGE_KEY", KEY)

        with loopback(lambda _: Answer(text="A warm reply.")) as server:
            options = ["--judge", "openai/m", "--base-url", server.url, "--api-key-env", "JUDGE_KEY", "--out", RUN]
            result = perm("batch", "submit", dialogues(*"abcdefgh"), *options)

        assert (result.code, "no verdict that can be read" in result.err) == (1, True)

    @pytest.mark.parametrize("text", ["A warm reply.", "I cannot do that.", '{"rationale": "x", "score": 9}'])
    def test_the_check_says_so_and_fails(self, perm: Perm, text: str) -> None:
        """A script that looks first must not go on."""
        with loopback(lambda _: Answer(text=text)) as server:
            result = perm("judges", "check", "openai/m", "--base-url", server.url)

        assert (result.code, repr(text) in result.err) == (1, True)
        assert "JSON schema" in result.out


def test_the_check_gives_a_long_thought_more_room_as_a_run_does(perm: Perm) -> None:
    """A judge that thinks is no bad judge."""

    def answering(body: dict[str, Any]) -> Answer:
        return verdict(body) if body["max_tokens"] > 1024 else Answer(text="<think>Well", finish_reason="length")

    with loopback(answering) as server:
        result = perm("judges", "check", "openai/m", "--base-url", server.url)

    assert (result.code, "a score of" in result.out) == (0, True)


ITEMS = ("effectiveness", "clarity", "efficiency", "objectivity", "accuracy")
CASES = "endpoint_cases.jsonl"
EXPECTED: Mapping[str, Mapping[str, int]] = {
    "moderated-risk": {"refused": 4},
    "moderated-policy": {"refused": 4},
    "too-large-429": {"failed": 4},
    "empty-choices": {"failed": 4},
    "upstream-error-in-200": {"scored": 4},
    "router-schema-refused": {"scored": 4},
    "router-temperature-refused": {"scored": 4},
    "schema-refused-in-other-words": {"scored": 4},
    "tool-call-verdict": {"scored": 3, "unparseable": 1},
}


def served(case: Mapping[str, Any]) -> Answering:
    """Answer as a row of the shared cases says, and with a verdict where it says nothing."""
    asked = Counter[str]()
    answer = Answer(status=case["http"]["status"], body=json.dumps(case["http"]["body"]).encode())

    def answering(body: dict[str, Any]) -> Answer:
        said = json.dumps(body["messages"])
        asked[said] += 1
        wanted = {
            "schema": "json_schema" in json.dumps(body.get("response_format")),
            "temperature": "temperature" in body,
        }
        holds = wanted.get(case.get("when", ""), True) and asked[said] <= case.get("times", 99)
        if f"CASE:{case['id']}." in said and holds:
            return answer
        return verdict(body) if wanted["schema"] else Answer(text=json.dumps(dict.fromkeys(("score", *ITEMS), 3)))

    return answering


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", EXPECTED)
def test_what_endpoints_were_seen_to_answer_comes_to_what_it_should(
    perm: Perm, shared: Path, name: str, place: int
) -> None:
    """Each as the first dialogue of a run and as a later one."""
    rows = [json.loads(line) for line in (shared / "data" / CASES).read_text().splitlines()]
    case = next(each for each in rows if each["id"] == name)
    marks = ["fine", "fine", "fine"]
    marks[place] = name

    with loopback(served(case)) as server:
        result = score(perm, server, dialogues(*marks))

    assert statuses()[f"d{place}"] == EXPECTED[name]
    assert result.code == (0 if EXPECTED[name] == {"scored": DIMENSIONS} else 3)
