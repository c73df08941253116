"""The dialogues of a report: which ratings are shown, what is counted, what is left out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perm_cli.comparing.from_runs import read_runs
from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.ratings.rating import Rating
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.reports.browsing import Shelf, browsable
from tests.makers import DIMENSIONS, rating

SETTINGS: Mapping[str, Any] = {
    "judge": {"name": "j", "model": "m", "temperature": 0.3, "base_url": None},
    "rubrics_digest": "aaaa",
    "prompts_digest": "bbbb",
    "caveat": None,
}
ASKED = {"inputs": [{"name": "/data/d.jsonl", "sha256": "cccc", "dialogues": 1}]}


def talk(name: str = "d", system: str = "s", turns: int = 1, **changes: Any) -> Dialogue:
    """Return a dialogue of so many exchanges."""
    said = [
        each
        for place in range(turns)
        for each in (
            Turn(role="seeker", text=f"I lost number {place} today."),
            Turn(role="supporter", text=f"Losing number {place} hurts.", analysis=f"Number {place} was dear."),
        )
    ]
    return Dialogue(**{"id": name, "system": system, "turns": tuple(said)} | changes)


def written_run(path: Path, dialogues: Iterable[Dialogue], ratings: Sequence[Rating]) -> Path:
    """Write a run folder without judging anything."""
    path.mkdir()
    folder = RunFolder(path)
    folder.keep_dialogues(dialogues)
    for each in ratings:
        folder.append(each)
    folder.close()
    command = {"command": "perm score", "ratings": len(ratings), "score": "mode", "asked": ASKED}
    settings = {each.settings: SETTINGS for each in ratings}
    commands = [command | {"settings": each} for each in settings or ("x",)]
    (path / "run.json").write_text(json.dumps({"perm_run": 1, "settings": settings, "commands": commands}))
    return path


def whole(dialogue: Dialogue, score: float = 3.0, **changes: Any) -> list[Rating]:
    """Return a rating for every dimension of every supporter turn."""
    return [
        rating(
            **{
                "key": f"{dialogue.id}/{dialogue.system}/{turn}/{name}/{changes.get('judge', 'j')}",
                "dialogue_id": dialogue.id,
                "system": dialogue.system,
                "turn": turn,
                "dimension": name,
                "score": score,
            }
            | changes
        )
        for turn, each in enumerate(dialogue.turns, 1)
        if each.role == "supporter"
        for name in DIMENSIONS
    ]


def shelf_of(path: Path, dialogues: Sequence[Dialogue], ratings: Sequence[Rating], **options: int) -> Shelf:
    """Return what a report browses of a run."""
    return browsable(read_runs([written_run(path / "run", dialogues, ratings)]), **options)


FAILED: Mapping[str, Any] = {"status": "failed", "score": None}
TRANSIENT = FAILED | {"error": {"kind": "timeout", "message": "no answer", "transient": True}}
FINAL = FAILED | {"error": {"kind": "bad_request", "message": "not wanted", "transient": False}}


@pytest.mark.parametrize(
    ("rows", "status", "why"),
    [
        pytest.param([{"rationale": "old"}, {"rationale": "new"}], "scored", "new", id="the latest"),
        pytest.param([{"rationale": "good"}, TRANSIENT], "scored", "good", id="settled before one that may yet be"),
        pytest.param([TRANSIENT, {"rationale": "good"}], "scored", "good", id="made in the end"),
        pytest.param([{"rationale": "good"}, FINAL], "failed", "not wanted", id="settled as failed"),
        pytest.param([TRANSIENT, TRANSIENT | {"note": "again"}], "failed", "again", id="none settled"),
    ],
)
def test_of_several_ratings_the_latest_settled_one_is_shown(
    tmp_path: Path, rows: list[dict[str, Any]], status: str, why: str
) -> None:
    """It is the one that counts in the numbers."""
    dialogue = talk()
    shelf = shelf_of(
        tmp_path, [dialogue], [*whole(dialogue)[1:], *(whole(dialogue, **row)[0] for row in map(dict, rows))]
    )

    shown = [each for each in shelf.dialogues[0]["ratings"] if each["dimension"] == DIMENSIONS[0]]
    assert [(each["status"], each["why"]) for each in shown] == [(status, why)]


def test_dialogues_beyond_the_turns_there_is_room_for_are_counted(tmp_path: Path) -> None:
    """A reader must know that there are more; the first is there whatever its length."""
    dialogues = [talk(f"d{place}", turns=2) for place in range(5)]
    ratings = [each for dialogue in dialogues for each in whole(dialogue)]
    run = read_runs([written_run(tmp_path / "run", dialogues, ratings)])

    found = {most: browsable(run, most) for most in (1, 4, 5, 10)}

    assert {most: (len(shelf.dialogues), shelf.left_out) for most, shelf in found.items()} == {
        1: (1, 4),
        4: (2, 3),
        5: (2, 3),
        10: (5, 0),
    }


def test_a_dialogue_in_two_runs_is_shown_once(tmp_path: Path) -> None:
    """Each judge has a run of its own, and all of them belong to one dialogue."""
    dialogue = talk()
    runs = [
        written_run(tmp_path / name, [dialogue], whole(dialogue, score, judge=name))
        for name, score in (("one", 1.0), ("two", 5.0))
    ]

    (shown,) = browsable(read_runs(runs)).dialogues

    assert [each["judge"] for each in shown["ratings"]] == ["one"] * 4 + ["two"] * 4
    assert shown["spread"] == 1.0  # 1 and 5 are the ends of the scale


def test_quotes_are_marked_where_they_were_said_and_those_made_up_are_counted(tmp_path: Path) -> None:
    """The reply that was judged is looked at before earlier turns; later ones had not been said."""
    dialogue = talk(turns=2, scenario="A dog died.")
    why = '"Losing number 1" and "number 0 hurts", of "A dog died"; "0 was dear"; "I know how you feel"; "warm words"'
    early = 'It should say "Losing number 1 hurts"'

    rows = [*whole(dialogue)[4:], *(each for each in whole(dialogue, rationale=early)[:1])]
    shelf = shelf_of(tmp_path, [dialogue], [*rows, whole(dialogue, rationale=why)[4]])

    (shown,) = shelf.dialogues
    quoted = {
        each["why"]: [each["why"][a:b] + f": {what}" for a, b, what in each["quotes"]] for each in shown["ratings"]
    }
    assert quoted[early] == ["Losing number 1 hurts: invented"]
    assert quoted[why] == [
        "Losing number 1: said",
        "number 0 hurts: said",
        "A dog died: said",
        "0 was dear: said",
        "I know how you feel: invented",
    ]
    assert [[turn["text"][a:b] for a, b, _ in turn["marks"]] for turn in shown["turns"]] == [
        [],
        ["number 0 hurts"],
        [],
        ["Losing number 1"],
    ]
    assert [turn["analysis"][a:b] for turn in shown["turns"] for a, b, _ in turn["analysis_marks"]] == ["0 was dear"]
    assert shown["invented"] == 2


def test_ratings_stand_in_the_order_of_the_rubrics_with_their_scales(tmp_path: Path) -> None:
    """A bystander's 62 is of 100 and not of 5, and is the sum of five items that one may ask after."""
    dialogue = talk()
    items = {"effectiveness": 12, "clarity": 14, "efficiency": 10, "objectivity": 16, "accuracy": 10}
    arrived = [
        replace(each, score=62.0, items=items) if each.dimension == "bystander" else each for each in whole(dialogue)
    ]

    (shown,) = shelf_of(tmp_path, [dialogue], arrived[::-1]).dialogues

    assert [(each["dimension"], each["score"], each["ends"]) for each in shown["ratings"]] == [
        ("resonation", 3.0, (1, 5)),
        ("expression", 3.0, (1, 5)),
        ("reception", 3.0, (1, 5)),
        ("bystander", 62.0, (0, 100)),
    ]
    assert shown["ratings"][-1]["items"] == list(items.items())


def rubric(name: str, scale: str) -> str:
    """Return the text of a dimension."""
    about = "perspective: seeker\ntemplate: seeker.jinja\nsees: []\ntitle: T\nquestion: Q\nsources: [s]"
    return f"name: {name}\n{about}\n{scale}"


def test_a_run_s_own_rubrics_say_the_order_and_the_scale(tmp_path: Path) -> None:
    """They may be another pack than the one that is shipped."""
    dialogue = talk()
    run = written_run(tmp_path / "run", [dialogue], whole(dialogue))
    record = json.loads((run / "run.json").read_text())
    record["settings"]["x"] |= {
        "pack": (
            "name: p\ntitle: t\nnote: n\nsources: [s]\ndimensions: [bystander, reception, expression]\n"
            "reward: {empathy: {of: [reception, expression]}}"
        ),
        "rubrics": {
            "bystander": rubric(
                "bystander", "items: {a: {W}, b: {W}, c: {W}}".replace("W", "question: q, low: l, high: h")
            ),
            "reception": rubric("reception", "levels: {1: a, 2: b, 3: c, 4: d, 5: e, 6: f, 7: g}"),
            "expression": rubric("expression", "levels: {1: a, 2: b, 3: c, 4: d, 5: e}"),
        },
    }
    (run / "run.json").write_text(json.dumps(record))

    (shown,) = browsable(read_runs([run])).dialogues

    assert [(each["dimension"], each["ends"]) for each in shown["ratings"]] == [
        ("bystander", (0, 60)), ("reception", (1, 7)), ("expression", (1, 5)), ("resonation", None),
    ]  # fmt: skip


def test_every_reply_has_its_reward_by_judge(tmp_path: Path) -> None:
    """The mean is over those who gave one; a reply without is not listed."""
    dialogue = talk(turns=3)
    ratings = [*whole(dialogue, 5.0, judge="one"), *whole(dialogue, 1.0, judge="two", settings="y")[4:8]]

    (shown,) = shelf_of(tmp_path, [dialogue], ratings).dialogues

    assert [(turn, judge) for turn, judge, _ in shown["rewards"]] == [(2, "one"), (4, "one"), (4, "two"), (6, "one")]
    assert [(turn, judges) for turn, _, judges in shown["replies"]] == [(2, 1), (4, 2), (6, 1)]
    values = [reward for _, _, reward in shown["rewards"]]
    assert shown["replies"][1][1] == pytest.approx((values[1] + values[2]) / 2)


def test_failures_are_counted_and_leave_no_reward(tmp_path: Path) -> None:
    """A rating that failed says why where others have their rationale."""
    dialogue = talk()
    shelf = shelf_of(tmp_path, [dialogue], [*whole(dialogue)[1:], *whole(dialogue, **FINAL)[:1]])

    (shown,) = shelf.dialogues
    assert (shown["failures"], shown["reward"]) == (1, None)
    assert {each["why"] for each in shown["ratings"]} == {"", "not wanted"}


def test_samples_are_told_apart(tmp_path: Path) -> None:
    """One judge asked twice gives two ratings, and both are shown."""
    dialogue = talk()
    twice = [each for n in (0, 1) for each in whole(dialogue, sample=n, key=f"k{n}")[:1]]

    (shown,) = shelf_of(tmp_path, [dialogue], [*whole(dialogue)[1:], *twice]).dialogues

    first = [each["judge"] for each in shown["ratings"] if each["dimension"] == DIMENSIONS[0]]
    assert first == ["j", "j, sample 2"]


def test_of_a_dialogue_that_was_edited_the_last_version_is_shown(tmp_path: Path) -> None:
    """Ratings made of it would else quote what nobody seems to have said."""
    edited = talk(turns=1, persona="Older.")

    (shown,) = shelf_of(tmp_path, [talk(), edited], whole(edited)).dialogues

    assert shown["persona"] == "Older."


def test_long_rationales_are_cut_with_a_sign(tmp_path: Path) -> None:
    """What is cut must not look whole."""
    dialogue = talk()

    (shown,) = shelf_of(tmp_path, [dialogue], whole(dialogue, rationale="x" * 3000)).dialogues

    assert {each["why"] for each in shown["ratings"]} == {"x" * 2000 + "…"}
