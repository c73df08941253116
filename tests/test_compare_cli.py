"""`perm compare` as typed: judges of different habits behind a real address, run folders, and files of ratings."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from perm_cli.dialogues.tokens import token_counter
from perm_cli.judges.retrying import retrying
from perm_cli.reports.compared import CLOSING
from tests.commands import AT_ONCE, Perm, a_run, by_habit, judges, runner, tickets
from tests.loopback import Answer, Loopback, loopback
from tests.makers import row, written
from tests.programs import Program, started


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


def inert(text: str) -> bool:
    """Tell whether a text has nothing in it that a terminal obeys, no traceback, no NaN and no warning."""
    words = ("Traceback", "Warning", "nan ", "nan)")
    return not set(text) & set("\x1b\x00\u202e") and not any(word in text for word in words)


def test_judges_are_set_side_by_side(perm: Perm) -> None:
    """Who uses the scale how, who agrees with whom, and who ranks the systems the other way round."""
    with loopback(by_habit) as server:
        result = perm("compare", tickets(Path("d.jsonl")), *judges(server, "fair", "kind", "wrong"))

        assert (result.code, len(server.requests)) == (0, 3 * 16 * 4)
    assert "reception piles up at the top of the scale, of all replies: openai/kind 75%." in result.out
    assert "openai/fair puts good first and openai/wrong puts poor first" in result.out
    assert "openai/kind cannot tell these systems apart on 8 dialogues" in result.out
    assert re.search(r"openai/fair - openai/wrong +-1\.00", result.out)
    assert "    5  openai/wrong: wrong says so." in result.out
    assert result.out.splitlines()[-1] == CLOSING
    assert {path.name for path in Path("runs/compare").iterdir()} == {"openai-fair", "openai-kind", "openai-wrong"}


def test_the_same_command_again_asks_nothing(perm: Perm) -> None:
    """Nor does one with a judge more ask the others."""
    with loopback(by_habit) as server:
        path = tickets(Path("d.jsonl"), 4)
        first = perm("compare", path, *judges(server, "fair", "kind"))
        asked = len(server.requests)
        again = perm("compare", path, *judges(server, "fair", "kind"))
        asked_again = len(server.requests)
        perm("compare", path, *judges(server, "fair", "kind", "flat"))

    assert (asked, asked_again, len(server.requests)) == (64, 64, 96)
    assert again.out == first.out


def test_run_folders_say_the_same_without_a_call(perm: Perm) -> None:
    """What was rated before can be compared at any time."""
    with loopback(by_habit) as server:
        made = perm("compare", tickets(Path("d.jsonl")), *judges(server, "fair", "kind"))

    assert perm("compare", "runs/compare/openai-fair", "runs/compare/openai-kind").out == made.out


def test_only_what_is_asked_about_is_compared(perm: Perm) -> None:
    """The folder keeps what was rated before: other dialogues, and other settings."""
    with loopback(by_habit) as server:
        fair = judges(server, "fair", "kind")
        perm("compare", tickets(Path("old.jsonl"), 2, start=50), *fair)
        perm("compare", tickets(Path("d.jsonl"), 3), *fair, "--temperature", "0")
        result = json.loads(perm("compare", Path("d.jsonl"), *fair, "--json").out)

    assert (result["items"], result["dialogues"]) == (6, 3)
    assert result["raters"] == ["openai/fair", "openai/kind"]
    assert [each["statuses"] for each in result["health"]] == [{"scored": 24}] * 2


def test_a_judge_that_cannot_be_reached_is_left_out_and_the_others_go_on(perm: Perm) -> None:
    """A line says so; with none left it is the command that has failed."""
    with loopback(by_habit) as server:
        path = tickets(Path("d.jsonl"))
        some = perm("compare", path, *judges(server, "fair", "locked"))
        none = perm("compare", path, *judges(server, "locked"))

    assert (some.code, none.code) == (0, 1)
    (line,) = [line for line in some.err.splitlines() if "left out" in line]
    assert line.startswith("openai-locked: left out: http://127.0.0.1")
    assert "openai/fair" in some.out
    assert "locked" not in some.out
    assert (none.out, none.err.count("no such key")) == ("", 1)


@pytest.mark.usefixtures("perm")
def test_a_judge_at_a_dead_address_is_left_out(perm: Perm) -> None:
    """Nobody there is no reason to lose the others' ratings."""
    with loopback(by_habit) as server, retrying(AT_ONCE):
        Path("perm.toml").write_text(
            f'[judges.house]\nmodel = "fair"\nbase_url = "{server.url}"\n'
            '[judges.gone]\nmodel = "kind"\nbase_url = "http://127.0.0.1:9/v1"\n'
        )
        result = perm("compare", tickets(Path("d.jsonl"), 2), "--judge", "house", "--judge", "gone")

    assert (result.code, "gone: left out: http://127.0.0.1:9/v1" in result.err) == (0, True)
    assert "house" in result.out


def test_judges_whose_names_make_one_folder_have_two(perm: Perm) -> None:
    """`a/b` and `a-b` are two judges."""
    with loopback(by_habit) as server:
        Path("perm.toml").write_text(
            "".join(
                f'[judges."{name}"]\nmodel = "{name[-4:]}"\nbase_url = "{server.url}"\n'
                for name in ("x/fair", "x-kind")
            )
            + f'[judges."x-fair"]\nmodel = "kind"\nbase_url = "{server.url}"\n'
        )
        result = perm("compare", tickets(Path("d.jsonl"), 2), "--judge", "x/fair", "--judge", "x-fair", "--json")

    assert json.loads(result.out)["raters"] == ["x/fair", "x-fair"]
    assert len(list(Path("runs/compare").iterdir())) == 2


def test_json_is_all_of_it_and_all_there_is(perm: Perm) -> None:
    """Disputes, panel and findings too; a program reads it without cleaning it first."""
    with loopback(by_habit) as server:
        result = perm(
            "compare",
            tickets(Path("d.jsonl")),
            *judges(server, "fair", "kind", "wrong"),
            "--panel",
            "weighted",
            "--json",
        )

    content = json.loads(result.out)
    assert content["disputes"][0]["item"].keys() == {"dialogue_id", "system", "turn"}
    assert sum(content["panel"]["weights"].values()) == pytest.approx(1.0)
    assert content["findings"][-1] == CLOSING
    assert [each["coverage"] for each in content["health"]] == [1.0] * 3
    assert "NaN" not in result.out


def test_the_recipe_counts_for_run_folders_too(perm: Perm) -> None:
    """`--fusion` and `--bystander-coef` are in the help, so they do something."""
    a_run(Path("run"), {("d0", "s"): [5.0, 4.0, 3.0, 80.0], ("d1", "s"): [5.0, 4.0, 3.0, 80.0]})

    result = perm("compare", "run", "--fusion", "mean", "--bystander-coef", "0", "--json")

    (reward,) = [each for each in json.loads(result.out)["dimensions"] if each["name"] == "reward"]
    assert reward["use"][0]["mean"] == pytest.approx(0.8)


def test_the_length_counts_where_it_is_wished_for(perm: Perm) -> None:
    """As in `perm score`: what is compared is the reward that was optimised."""
    a_run(Path("run"), {("d0", "s"): [5.0, 4.0, 3.0, 80.0], ("d1", "s"): [5.0, 4.0, 3.0, 80.0]})

    def mean(*options: str) -> float:
        dimensions = json.loads(perm("compare", "run", "--json", *options).out)["dimensions"]
        return float(dimensions[-1]["use"][0]["mean"])

    tokens = token_counter("cl100k_base")(row()["turns"][1]["text"])
    assert mean() - mean("--length-penalty", "0.01", "--length-limit", "1") == pytest.approx(0.01 * (tokens - 1))


def test_an_unreadable_reply_is_counted_and_not_guessed(perm: Perm) -> None:
    """The judge that talks is named, with what is missing."""

    def answering(body: dict[str, Any]) -> Answer:
        return Answer(text="Hm.") if body["model"] == "kind" and "ticket 3" in str(body) else by_habit(body)

    with loopback(answering) as server:
        result = perm("compare", tickets(Path("d.jsonl")), *judges(server, "fair", "kind"), "--reask", "0")

    assert result.code == 3
    assert "openai/kind gave a score for 88% of its ratings only." in result.out
    assert "8 unparseable" in result.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["d.jsonl"], "d.jsonl: dialogues found, expected dialogues and --judge", id="no-judge"),
        pytest.param(["nowhere"], "nowhere: no file of dialogues and no run found, expected", id="no-file"),
        pytest.param(["run", "--judge", "m"], "--judge: found beside ratings that are made", id="judge-and-run"),
        pytest.param(["run", "d.jsonl"], "d.jsonl: found beside run folders, expected run folders only", id="mixed"),
        pytest.param(["r.csv", "d.jsonl"], "r.csv: a file of ratings found beside other inputs", id="csv-and-more"),
        pytest.param(["run", "--panel", "mean"], "--panel: 1 judge found, expected 2 or more", id="a-panel-of-one"),
        pytest.param(["run", "--people", "j"], "--people: found without a CSV file of ratings", id="people-of-a-run"),
        pytest.param(["r.csv", "--people", "bob"], "--people: bob not found in r.csv", id="nobody"),
        pytest.param(["people.csv"], "people.csv: no judges found, only people, expected judges", id="people-only"),
        pytest.param(["empty"], "empty: no ratings found, expected some to compare", id="an-empty-run"),
        pytest.param(["bad.csv"], "bad.csv:3: gpt: 'good' found, expected a number or nothing", id="a-word"),
        pytest.param(
            ["run", "--fusion", "weighted-mean", "--weights", "a=1"],
            "--weights: 'a=1' found, expected resonation=",
            id="weights",
        ),
    ],
)
def test_mistakes_are_a_line_each(perm: Perm, arguments: list[str], said: str) -> None:
    """What was found and what was expected, before anything is asked."""
    tickets(Path("d.jsonl"))
    a_run(Path("run"), {("d0", "s"): [5.0, 4.0, 3.0, 80.0]})
    a_run(Path("empty"), {})
    Path("r.csv").write_text("id,human,gpt\nd,3,4\n")
    Path("people.csv").write_text("id,human,expert\nd,3,4\n")
    Path("bad.csv").write_text("id,human,gpt\nd,3,4\ne,3,good\n")

    result = perm("compare", *arguments)

    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert result.err.startswith("perm: ")
    assert said in result.err


LITTLE = {
    "one-item": "id,a,b\nd,3,4\n",
    "one-judge": "id,system,a\nd,x,3\nd,y,4\n",
    "one-judge-and-a-person": "id,human,a\nd,3,3\ne,4,5\n",
    "all-equal": "id,system,a,b\n" + "".join(f"d{n},{s},3,3\n" for n in range(4) for s in "xy"),
    "nothing-given": "id,system,human,a,b\n" + "".join(f"d{n},{s},,,\n" for n in range(4) for s in "xy"),
    "identical": "id,system,a,b\n" + "".join(f"d{n},{s},{n},{n}\n" for n in range(4) for s in "xy"),
    "nothing-shared": "id,system,a,b\nd,x,3,\ne,y,,4\n",
    "rewards": "id,dimension,a,b\n" + "".join(f"d{n},reward,{n},{4 - n}\n" for n in range(4)),
    "hostile": 'id,system,"\x1b[2J[red]","=1+1\u202e"\n'
    + "".join(f'"\x01[/b]{n}","\x07{n % 2}",{n},{n % 3}\n' for n in range(9)),
}


@pytest.mark.parametrize(
    ("content", "panel"),
    [
        pytest.param(content, panel, id=f"{name}{'-panel' if panel else ''}")
        for name, content in LITTLE.items()
        for panel in ([], ["--panel", "weighted"])
        if not (panel and "one-judge" in name)  # which is no panel
    ],
)
def test_little_or_hostile_ratings_are_plain_sentences(perm: Perm, content: str, panel: list[str]) -> None:
    """No NaN, no warning, no traceback, and nothing a terminal obeys; as a table and as JSON."""
    Path("r.csv").write_text(content)

    table, whole = perm("compare", "r.csv", *panel), perm("compare", "r.csv", *panel, "--json")

    assert (table.code, whole.code) == (0, 0)
    assert inert(table.out + table.err + whole.err)
    assert table.out.splitlines()[-1] == CLOSING
    assert json.loads(whole.out)["findings"][-1] == CLOSING


def test_what_judges_and_dialogues_say_is_inert(perm: Perm) -> None:
    """A rationale, an id and a system, with codes, markup and a formula in them."""
    evil = "\x1b[2J[red]\u202e=1+1[/b]"

    def answering(body: dict[str, Any]) -> Answer:
        content = json.loads(by_habit(body).text)
        return Answer(text=json.dumps(content | {"rationale": evil}))

    rows = [json.loads(line) for line in tickets(Path("d.jsonl"), 3).read_text().splitlines()]
    rows = [each | {"id": evil + each["id"], "system": evil + each["system"]} for each in rows]
    with loopback(answering) as server:
        result = perm("compare", written(Path("d.jsonl"), rows), *judges(server, "fair", "wrong"))

    assert result.code == 0
    assert inert(result.out + result.err)
    assert "[red]" in result.out


def test_runs_over_other_texts_are_not_compared(perm: Perm) -> None:
    """A line says which dialogues are left out, and why."""
    scored = {("d0", "s"): [5.0, 4.0, 3.0, 80.0], ("d1", "s"): [1.0, 2.0, 3.0, 20.0]}
    one, two = a_run(Path("one"), scored), a_run(Path("two"), scored, judge="k")
    lines = (two / "dialogues.jsonl").read_text().splitlines()
    (two / "dialogues.jsonl").write_text(lines[0].replace("lost", "found") + "\n" + lines[1] + "\n")

    result = perm("compare", one, two, "--json")

    assert json.loads(result.out)["items"] == 1
    assert result.err == "1 dialogue has another text in another run and is left out: 'd0'\n"


@pytest.mark.skipif(os.name == "nt", reason="signals")
class TestInterrupts:
    """Ctrl-C, in a process of its own."""

    @contextmanager
    def asking(self, server: Loopback) -> Iterator[Program]:
        """Start a comparison and wait until both judges have been asked something."""
        with started("compare", "d.jsonl", *judges(server, "fair", "kind"), "--concurrency", "2") as program:
            assert program.until(lambda: len({request["model"] for request in server.requests}) == 2)
            yield program

    def test_once_keeps_what_is_rated(self, perm: Perm) -> None:
        """Exit code 130, a line, and going on asks only for the rest."""
        tickets(Path("d.jsonl"), 4)
        with loopback(by_habit, latency_s=0.15) as server:
            with self.asking(server) as program:
                program.process.send_signal(signal.SIGINT)
                ended = program.ended()
            asked = len(server.requests)
            result = perm("compare", "d.jsonl", *judges(server, "fair", "kind"), "--json")

        assert (ended.code, "Traceback" in ended.err) == (130, False)
        assert "stopped; what is rated is kept, the same command goes on" in ended.err
        assert asked < len(server.requests) == 64
        assert [each["coverage"] for each in json.loads(result.out)["health"]] == [1.0, 1.0]

    def test_twice_stops_at_once(self) -> None:
        """Nobody has to wait for a judge that hangs, and there is no traceback."""
        tickets(Path("d.jsonl"), 4)
        with loopback(by_habit, latency_s=2) as server, self.asking(server) as program:
            program.process.send_signal(signal.SIGINT)
            assert program.until(lambda: "finishing the calls in flight" in program.err)
            program.process.send_signal(signal.SIGINT)
            ended = program.ended()

        assert (ended.code, "Traceback" in ended.err) == (130, False)


def test_a_broken_row_stops_everything_before_a_call(perm: Perm) -> None:
    """What can be checked is checked first, once for all judges."""
    with loopback(by_habit) as server:
        result = perm("compare", written(Path("d.jsonl"), [row(0), row(1, turns=[])]), *judges(server, "fair", "kind"))

        assert (result.code, server.requests) == (1, [])
    assert "d.jsonl:2: turns: a list of 0 found, expected at least 1" in result.err
    assert not Path("runs").exists()
