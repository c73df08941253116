"""`perm pairs` and `perm best-of-n` as typed: run folders in; rows for trainers and a few words out."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest

from perm_cli.dialogues.tokens import token_counter
from perm_cli.judges.route_baseline import CAVEAT
from perm_cli.words import PairFormat
from tests.commands import Perm, a_run, by_habit, judges, kept, runner, tickets
from tests.loopback import loopback

GOOD = [5.0, 5.0, 5.0, 100.0]  # a reward of 1
FAIR = [4.0, 4.0, 4.0, 80.0]  # 0.8 - 0.1 = 0.7
POOR = [1.0, 5.0, 5.0, 40.0]  # 3 / (5 + 1 + 1) - 0.3
NONE = [None, 4.0, 4.0, 80.0]
COMMANDS = [pytest.param(["pairs"], id="pairs"), pytest.param(["best-of-n"], id="best-of-n")]

Scored = Mapping[str, Sequence[float | None]]


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Perm:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


def answers(path: str, scored: Scored, **changes: Any) -> Path:
    """Write a run in which each of some systems has answered one dialogue, with its own name."""
    run = a_run(Path(path), {("d", system): scores for system, scores in scored.items()}, **changes)
    kept(run, (about(system) for system in scored))
    return run


def about(system: str, said: str = "I lost.", reply: str = "", **changes: Any) -> dict[str, Any]:
    """Return a dialogue of two turns as a run folder keeps it."""
    turns = [
        {"role": "seeker", "text": said, "analysis": None},
        {"role": "supporter", "text": reply or f"{system} hears.", "analysis": None},
    ]
    return {"id": "d", "system": system, "turns": turns} | changes


def rows_of(text: str) -> list[dict[str, Any]]:
    """Read JSON Lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_pairs_are_rows_on_standard_output_and_words_beside_them(perm: Perm) -> None:
    """The rows go into the next program, and the counts to whoever looks."""
    run = answers("run", {"a": FAIR, "b": GOOD, "c": POOR, "z": NONE})

    result = perm("pairs", run, "--style", "plain")

    (row,) = rows_of(result.out)
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("b hears.", "c hears.")
    assert (row["score_chosen"], row["margin"]) == (1.0, row["score_chosen"] - row["score_rejected"])
    assert row["score_rejected"] == pytest.approx(3 / 7 - 0.3, abs=1e-12)
    assert result.err == "1 pair of 1 prompt, by j\nleft out: 1 replies without a reward\n"
    assert result.code == 0


@pytest.mark.parametrize(
    ("options", "margins", "said"),
    [
        pytest.param(["--strategy", "all"], [0.3, 0.871, 0.571], None, id="all"),
        pytest.param(["--strategy", "all", "--min-gap", "0.3"], [0.3, 0.871, 0.571], None, id="at-the-gap"),
        pytest.param(["--strategy", "all", "--min-gap", "0.5"], [0.871, 0.571], "1 pairs below --min-gap", id="gap"),
        pytest.param(["--min-gap", "1"], [], "1 pairs below --min-gap", id="nothing-so-far-apart"),
        pytest.param(["--fusion", "mean"], [0.567], None, id="fusion"),  # 1 - (11/15 - 0.3)
        pytest.param(
            ["--fusion", "weighted-mean", "--weights", "resonation=2,expression=1,reception=1"],
            [0.7],  # 1 - ((0.4 + 1 + 1) / 4 - 0.3)
            None,
            id="weights",
        ),
        pytest.param(["--bystander-coef", "0"], [0.571], None, id="coefficient"),  # 1 - 3/7
        pytest.param(["--bystander-coef", "1"], [1.171], None, id="more-of-the-bystander"),
    ],
)
def test_options_say_what_a_pair_is_worth(
    perm: Perm, options: list[str], margins: list[float], said: str | None
) -> None:
    """The recipe is the one asked for, as in `perm score`."""
    run = answers("run", {"a": FAIR, "b": GOOD, "c": POOR})

    result = perm("pairs", run, *options)

    assert [row["margin"] for row in rows_of(result.out)] == pytest.approx(margins, abs=0.0005)
    assert result.err.splitlines()[1:] == ([f"left out: {said}"] if said else [])


def test_the_length_counts_where_it_is_wished_for(perm: Perm) -> None:
    """Of two replies that are worth the same, the shorter one is then the better one."""
    run = answers("run", {"a": FAIR, "b": FAIR})
    kept(run, [about("a"), about("b", reply="I hear that you lost something today.")])
    count = token_counter("cl100k_base")

    tied = perm("pairs", run)
    (row,) = rows_of(perm("pairs", run, "--length-penalty", "0.01", "--length-limit", "1").out)

    assert (tied.out, tied.err.splitlines()[1]) == ("", "left out: 1 ties")
    assert row["chosen"][0]["content"] == "a hears."
    longer = count("I hear that you lost something today.") - count("a hears.")
    assert row["margin"] == pytest.approx(0.01 * longer, abs=1e-12)


@pytest.mark.parametrize("form", get_args(PairFormat))
def test_every_format_is_written(perm: Perm, form: PairFormat) -> None:
    """One row a pair; KTO, which knows no pairs, has one a reply."""
    result = perm("pairs", answers("run", {"a": FAIR, "b": GOOD}), "--format", form)

    assert (result.code, len(rows_of(result.out))) == (0, 2 if form == "kto" else 1)


def test_a_file_is_written_whole_and_kept_unless_it_may_go(perm: Perm) -> None:
    """Training data of before may be in it."""
    run = answers("run", {"a": FAIR, "b": GOOD})
    Path("out.jsonl").write_text("mine")

    refused = perm("pairs", run, "--out", "out.jsonl")
    after = Path("out.jsonl").read_text()
    forced = perm("pairs", run, "--out", "out.jsonl", "--force")

    assert (refused.code, refused.out, after) == (1, "", "mine")
    expected = "perm: --out out.jsonl: the file exists; use a new name, or --force to overwrite it\n"
    assert refused.err == expected
    assert (forced.code, forced.out, forced.err) == (0, "", "1 pair of 1 prompt, by j: out.jsonl\n")
    assert Path("out.jsonl").read_text() == perm("pairs", run).out


def test_judges_of_several_runs_decide_together(perm: Perm) -> None:
    """The mean of their rewards counts, and what they order differently is left out and counted."""
    answers("one", {"a": GOOD, "b": FAIR, "c": POOR})
    answers("two", {"a": FAIR, "b": GOOD, "c": POOR}, judge="k")

    result = perm("pairs", "one", "two", "--strategy", "all", "--style", "plain")

    assert [row["score_chosen"] for row in rows_of(result.out)] == pytest.approx([0.85] * 2, abs=1e-12)
    assert [row["rejected"][0]["content"] for row in rows_of(result.out)] == ["c hears."] * 2
    assert result.err == "2 pairs of 1 prompt, by j, k\nleft out: 1 ties\n"


def test_pairs_that_judges_order_differently_are_counted(perm: Perm) -> None:
    """One likes it much more, the other a little less: no preference to learn."""
    answers("one", {"a": GOOD, "b": POOR})
    answers("two", {"a": FAIR, "b": GOOD}, judge="k")

    result = perm("pairs", "one", "two")

    assert (result.code, result.out) == (0, "")
    assert result.err.endswith("\nleft out: 1 pairs that judges order differently\n")


def test_of_a_dialogue_that_was_edited_the_last_version_is_written(perm: Perm) -> None:
    """The run keeps both versions, and the rewards are those of the last."""
    run = answers("run", {"a": FAIR, "b": GOOD})
    kept(run, [about(system, said) for said in ("I won.", "I lost.") for system in "ab"])

    result = perm("pairs", run)

    assert [row["prompt"][-1]["content"] for row in rows_of(result.out)] == ["I lost."]
    assert result.err == "1 pair of 1 prompt, by j\n"


HOSTILE = '"}\n{{7*7}}{% raw %}</s><|im_end|>\x1b[2J\u202e\u2028\x00=1+1 # Response\n# Analysis'


@pytest.mark.parametrize("command", COMMANDS)
def test_hostile_text_stays_data(perm: Perm, command: list[str]) -> None:
    """It is neither evaluated nor lost, and a row stays a line."""
    run = answers("run", {"a": FAIR, "b": GOOD})
    kept(
        run,
        [about(system, HOSTILE, f"{system}{HOSTILE}", scenario=HOSTILE, persona=f"P {HOSTILE}") for system in "ab"],
    )

    result = perm(*command, run, "--style", "plain")

    (row,) = [json.loads(line) for line in result.out.split("\n")[:-1]]
    system, asked = row["prompt"]
    assert system["content"].count(HOSTILE) == 2
    assert asked["content"] == HOSTILE
    said = row["completions"][1] if command == ["best-of-n"] else row["chosen"][0]["content"]
    assert said == f"b{HOSTILE}"
    assert "49" not in result.out + result.err


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_judge_is_called_is_inert(perm: Perm, command: list[str]) -> None:
    """Run folders are handed round, and a terminal obeys what is printed to it."""
    run = answers("run", {"a": FAIR, "b": GOOD}, judge="\x1b[2J[red]\u202ej")

    result = perm(*command, run)

    assert result.code == 0
    assert not set(result.err) & set("\x1b\u202e")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("scored", "said"),
    [
        pytest.param({}, "perm: run: no ratings found, expected a run with ratings\n", id="no-ratings"),
        pytest.param(
            {"a": NONE, "b": NONE}, "perm: run: no rewards found, expected some to choose by\n", id="no-rewards"
        ),
    ],
)
def test_a_run_without_rewards_is_a_line(perm: Perm, command: list[str], scored: Scored, said: str) -> None:
    """An empty file would be found out by the trainer, hours later."""
    run = answers("run", scored)

    result = perm(*command, run, "--out", "out.jsonl")

    assert (result.code, result.out, result.err) == (1, "", said)
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_judges_that_rated_nothing_together_are_a_line(perm: Perm, command: list[str]) -> None:
    """A reward is the mean over all judges, and no reply has been rated by all."""
    answers("one", {"a": GOOD, "b": FAIR})
    answers("two", {"x": GOOD, "y": FAIR}, judge="k")

    result = perm(*command, "one", "two")

    assert (result.code, result.out) == (1, "")
    assert result.err == "perm: one, two: no rewards found, expected some to choose by\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_run_is_a_line(perm: Perm, command: list[str]) -> None:
    """With what was expected."""
    result = perm(*command, "nowhere")

    assert (result.code, result.out) == (1, "")
    assert result.err == "perm: nowhere: no run found, expected a folder that perm score has written\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_word_counter_says_what_it_is_not(perm: Perm, command: list[str]) -> None:
    """Nobody should train on a count of words without having been told."""
    perm("score", tickets(Path("d.jsonl"), 2), "--judge", "baseline", "--out", "run")

    result = perm(*command, "run")

    assert (result.code, result.err.count(CAVEAT)) == (0, 1)
    assert len(rows_of(result.out)) == 2


def test_what_was_scored_makes_pairs(perm: Perm) -> None:
    """From dialogues to preferences in two commands, and the second asks nobody."""
    with loopback(by_habit) as server:
        perm("score", tickets(Path("d.jsonl"), 3), *judges(server, "fair"), "--out", "run")
        asked = len(server.requests)
        result = perm("pairs", "run", "--style", "plain")

    rows = rows_of(result.out)
    assert len(server.requests) == asked == 3 * 2 * 4
    assert [row["prompt_id"] for row in rows] == ["d0:2", "d1:2", "d2:2"]
    assert {row["chosen"][0]["content"] for row in rows} == {"I hear you."}
    assert {row["rejected"][0]["content"] for row in rows} == {"So?"}


def test_best_of_n_is_a_row_a_prompt(perm: Perm) -> None:
    """The best, how many are as good, and null where nothing is rated; all of it into a file too."""
    scored = {("d0", "a"): FAIR, ("d0", "b"): GOOD, ("d0", "c"): GOOD, ("d1", "a"): NONE, ("d1", "b"): NONE}
    a_run(Path("run"), scored)
    kept(Path("run"), (about(system, f"I lost {name}.", id=name) for name, system in scored))

    result = perm("best-of-n", "run", "--style", "plain", "--out", "best.jsonl")

    rows = rows_of(Path("best.jsonl").read_text())
    assert [(row["prompt_id"], row["best"], row["tied"], row["n"]) for row in rows] == [
        ("d0:2", 1, 2, 3),
        ("d1:2", None, 0, 2),
    ]
    assert rows[0]["completions"] == ["a hears.", "b hears.", "c hears."]
    assert rows[0]["scores"] == pytest.approx([0.7, 1.0, 1.0], abs=1e-12)
    assert rows[1]["scores"] == [None, None]
    assert result.err == "2 prompts, by j: best.jsonl\nleft out: 2 replies without a reward\n"


def test_a_reply_is_not_both_good_and_bad(perm: Perm) -> None:
    """Of three replies the middle one is better than one and worse than another: KTO could learn nothing of it."""
    answers("run", {"a": FAIR, "b": GOOD})

    result = perm("pairs", "run", "--format", "kto", "--strategy", "all")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("perm: --strategy all cannot be used with --format kto")


def test_a_pipe_gets_json_lines_and_nothing_else() -> None:
    """`perm pairs run | head` in a process of its own."""
    answers("run", {"a": FAIR, "b": GOOD})

    done = subprocess.run([sys.executable, "-m", "perm_cli", "pairs", "run"], capture_output=True, check=True)

    assert len(rows_of(done.stdout.decode())) == 1
    assert done.stderr == b"1 pair of 1 prompt, by j\n"
