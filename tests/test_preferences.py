"""Preferences: pairs that a judge really prefers, each of two replies to one prompt, and the best of several."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from perm_cli.comparing.table import Given, Rated, Scores, table_of
from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.training.preferences import Count, Pair, Prompt, best_of, best_row, pair_rows, pairs_of, prompts_of
from perm_cli.words import PairFormat, PairStrategy, PolicyStyle

MISSING = math.nan
Rewarded = tuple[
    Dialogue, Sequence[float | Sequence[float]]
]  # for each supporter turn a reward, or one from each judge


def rated(*rewards: float | Sequence[float], system: str = "a", said: str | None = None, **changes: Any) -> Rewarded:
    """Return a dialogue with a supporter turn for each reward, which says its system's name."""
    turns = []
    for place in range(len(rewards)):
        turns += [
            Turn(role="seeker", text=f"I lost number {place}."),
            Turn(role="supporter", text=said or f"{system} hears {place}."),
        ]
    return Dialogue(**({"id": "d", "system": system, "turns": tuple(turns)} | changes)), rewards


def prompts(*given: Rewarded) -> list[Prompt]:
    """Return the prompts of dialogues and their rewards; a dialogue that comes twice was edited."""
    return prompts_of(scores(given), (dialogue for dialogue, _ in given))


def scores(given: Sequence[Rewarded]) -> Scores:
    """Return rewards as run folders give them."""
    found = []
    for dialogue, rewards in given:
        places = [place for place, turn in enumerate(dialogue.turns, 1) if turn.role == "supporter"]
        for place, reward in zip(places, rewards, strict=True):
            item = Rated(dialogue.id, dialogue.system, place)
            for judge, value in enumerate([reward] if isinstance(reward, int | float) else reward):
                found.append(Given(item, "reward", f"j{judge}", value))
    return table_of(found)


def pairs(
    *given: Rewarded, strategy: PairStrategy = "best-worst", min_gap: float = 0.0, style: PolicyStyle = "analysis"
) -> tuple[list[Pair], Count]:
    """Return the pairs of dialogues and their rewards, and what was counted."""
    count = Count()
    return list(pairs_of(prompts(*given), strategy, min_gap, style, count)), count


def names(found: Sequence[Pair]) -> list[str]:
    """Name each pair by its systems, the better one first."""
    return [f"{pair.chosen.system}>{pair.rejected.system}" for pair in found]


def left_out(count: Count) -> Mapping[str, int]:
    """Return what was left out at all, by its reason."""
    return {reason: number for reason, number in count.left_out.items() if number}


THREE = (rated(0.2, system="a"), rated(0.9, system="b"), rated(0.5, system="c"))


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        pytest.param("best-worst", ["b>a"], id="best-worst"),
        pytest.param("all", ["b>c", "b>a", "c>a"], id="all"),
    ],
)
def test_a_prompt_gives_one_pair_or_every_one(strategy: PairStrategy, expected: list[str]) -> None:
    """One pair a prompt keeps prompts equal in weight; every one uses all that was paid for."""
    found, count = pairs(*THREE, strategy=strategy)

    assert names(found) == expected
    assert (count.prompts, count.pairs, left_out(count)) == (1, len(expected), {})


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param([0.7], [0.4], id="one-judge"),
        pytest.param([0.1, 0.2, 0.7], [0.05, 0.1, 0.3], id="three-judges"),
        pytest.param([-0.1, 0.3], [-0.4, 0.1], id="below-zero"),
    ],
)
def test_the_margin_is_the_difference_of_the_rewards(better: list[float], worse: list[float]) -> None:
    """To the last bit: who computes it from the row's own numbers finds the same."""
    (pair,), _ = pairs(rated(worse, system="a"), rated(better, system="b"))

    (row,) = pair_rows(pair, "trl", "analysis")
    assert row["margin"] == row["score_chosen"] - row["score_rejected"] > 0
    assert row["score_chosen"] == pytest.approx(sum(better) / len(better), abs=1e-15)


@pytest.mark.parametrize(
    ("min_gap", "kept"),
    [
        pytest.param(0.0, True, id="none"),
        pytest.param(0.3, True, id="just-as-far-apart"),  # 0.7 - 0.4 is 0.29999999999999993
        pytest.param(0.3001, False, id="a-little-nearer"),
    ],
)
def test_a_pair_is_at_least_the_gap_apart(min_gap: float, *, kept: bool) -> None:
    """The boundary belongs to the pairs, whatever binary fractions make of it."""
    found, count = pairs(rated(0.7, system="a"), rated(0.4, system="b"), min_gap=min_gap)

    assert names(found) == ["a>b"] * kept
    assert left_out(count) == ({} if kept else {"pairs below --min-gap": 1})


def test_a_tie_is_no_preference() -> None:
    """A trainer would learn the order of the files."""
    found, count = pairs(rated(0.5, system="a"), rated(0.5, system="b"), rated(0.2, system="c"), strategy="all")

    assert sorted(names(found)) == ["a>c", "b>c"]
    assert (count.pairs, left_out(count)) == (2, {"ties": 1})


def test_a_text_is_not_preferred_to_itself() -> None:
    """Two systems said the same; that a judge rated it differently is the judge's noise."""
    found, count = pairs(rated(0.9, system="a", said="Oh no."), rated(0.2, system="b", said="Oh no."))

    assert (found, left_out(count)) == ([], {"prompts with one reply": 1})


@pytest.mark.parametrize(
    ("style", "expected"), [pytest.param("analysis", ["b>a"], id="analysis"), pytest.param("plain", [], id="plain")]
)
def test_replies_that_differ_in_their_analysis_only_are_two_where_it_is_shown(
    style: PolicyStyle, expected: list[str]
) -> None:
    """In the plain style the two sides of such a pair would be the same text."""
    turns = [
        (Turn(role="seeker", text="I lost."), Turn(role="supporter", text="Oh no.", analysis=each))
        for each in ("Sad?", "They grieve.")
    ]

    found, _ = pairs(
        rated(0.2, system="a", turns=turns[0]), rated(0.9, system="b", turns=turns[1]), style=style, strategy="all"
    )

    assert names(found) == expected


def test_a_reply_without_a_reward_is_in_no_pair() -> None:
    """It is not the worst one: nobody knows what it is worth."""
    found, count = pairs(*THREE, rated(MISSING, system="z"), strategy="all")

    assert names(found) == ["b>c", "b>a", "c>a"]
    assert left_out(count) == {"replies without a reward": 1}


def test_one_reply_is_no_pair() -> None:
    """Nor are two of which one has no reward."""
    found, count = pairs(rated(0.5, scenario="Alone."), rated(0.5, system="b"), rated(MISSING, system="c"))

    assert found == []
    assert left_out(count) == {"prompts with one reply": 2, "replies without a reward": 1}


def test_of_several_judges_the_mean_decides() -> None:
    """One judge's favourite by little does not win over another's by much."""
    (pair,), count = pairs(rated([0.5, 0.1], system="a"), rated([0.5, 0.9], system="b"))

    assert (pair.chosen.system, pair.chosen.reward, pair.rejected.reward) == ("b", 0.7, 0.3)
    assert left_out(count) == {}


def test_what_judges_order_differently_is_left_out() -> None:
    """A preference that depends on the judge is none; with `all` the others of the prompt stay."""
    given = (rated([0.9, 0.5], system="a"), rated([0.2, 0.6], system="b"), rated([0.1, 0.1], system="c"))

    found, count = pairs(*given, strategy="all")

    assert names(found) == ["a>c", "b>c"]
    assert left_out(count) == {"pairs that judges order differently": 1}


def test_a_reply_that_one_judge_did_not_rate_has_no_reward() -> None:
    """The mean over the other judges would not be comparable."""
    found, count = pairs(
        rated([0.9, MISSING], system="a"), rated([0.2, 0.2], system="b"), rated([0.4, 0.4], system="c")
    )

    assert names(found) == ["c>b"]
    assert left_out(count) == {"replies without a reward": 1}


def test_talks_that_have_parted_are_compared_up_to_there() -> None:
    """The same id, but the second replies answer different talks."""
    found, count = pairs(rated(0.9, 0.1, system="a"), rated(0.2, 0.8, system="b"))

    assert [(pair.prompt.id, pair.chosen.system) for pair in found] == [("d:2", "a")]
    assert (count.prompts, left_out(count)) == (3, {"prompts with one reply": 2})


def test_talks_that_go_together_are_compared_at_every_turn() -> None:
    """Where the history is the same, so is the prompt, and it is all of what was said before."""
    same = [
        Turn(role="seeker", text="I lost."),
        Turn(role="supporter", text="Oh no."),
        Turn(role="seeker", text="Yes."),
    ]
    one, two = (
        (Dialogue(id="d", system=system, turns=(*same, Turn(role="supporter", text=system))), rewards)
        for system, rewards in (("a", (0.5, 0.3)), ("b", (0.5, 0.6)))
    )

    found, count = pairs(one, two)

    assert [(pair.prompt.id, names([pair])) for pair in found] == [("d:4", ["b>a"])]
    assert [turn.text for turn in found[0].prompt.turns] == ["I lost.", "Oh no.", "Yes."]
    assert left_out(count) == {"prompts with one reply": 1}


def test_one_prompt_under_two_ids_is_one_prompt() -> None:
    """Samples of one policy are often numbered through; what counts is what was answered."""
    found, count = pairs(rated(0.2, id="d-1", said="So?"), rated(0.9, id="d-2", said="Oh no."))

    assert [(pair.chosen.dialogue_id, pair.rejected.dialogue_id) for pair in found] == [("d-2", "d-1")]
    assert count.prompts == 1


@pytest.mark.parametrize("what", ["scenario", "persona"])
def test_what_is_known_of_the_seeker_is_part_of_the_prompt(what: str) -> None:
    """A reply that fits one person may be wrong for another who says the same."""
    found, count = pairs(rated(0.2, system="a", **{what: "One."}), rated(0.9, system="b", **{what: "Another."}))

    assert (found, left_out(count)) == ([], {"prompts with one reply": 2})


def test_of_a_reply_that_was_edited_the_last_version_counts() -> None:
    """The reward is the last version's, and so must be the text."""
    (pair,), count = pairs(
        rated(0.9, system="a", said="Old."), rated(0.2, system="b"), rated(0.8, system="a", said="New.")
    )

    assert (pair.chosen.reply.text, pair.chosen.reward, count.prompts) == ("New.", 0.8, 1)


def test_of_a_prompt_that_was_edited_the_last_version_counts() -> None:
    """Pairs under the old prompt would carry rewards that were given under the new one."""
    old = [rated(reward, system=system, scenario="Old.") for system, reward in (("a", 0.3), ("b", 0.4))]
    new = [rated(reward, system=system, scenario="New.") for system, reward in (("a", 0.9), ("b", 0.2))]

    found, count = pairs(*old, *new)

    assert [(pair.prompt.scenario, *names([pair])) for pair in found] == [("New.", "a>b")]
    assert (count.prompts, left_out(count)) == (1, {})


def test_turns_that_were_not_rated_are_no_candidates() -> None:
    """A run with `--turns last` has rewards of last turns only."""
    dialogue, _ = rated(0.0, 0.0)
    only_last = table_of([Given(Rated("d", "a", 4), "reward", "j0", 0.5)])

    (prompt,) = prompts_of(only_last, [dialogue])

    assert (prompt.id, len(prompt.candidates), len(prompt.turns)) == ("d:4", 1, 3)


# --- best of n ---


def best(*given: Rewarded) -> tuple[list[dict[str, Any]], Count]:
    """Return the rows of `perm best-of-n`, and what was counted."""
    count = Count()
    return [best_row(*each, "analysis") for each in best_of(prompts(*given), count)], count


def test_the_best_is_the_highest_reward() -> None:
    """Its place among the completions, which keep the order they came in."""
    (row,), _ = best(*THREE)

    assert row == {
        "prompt_id": "d:2",
        "prompt": row["prompt"],
        "completions": ["a hears 0.", "b hears 0.", "c hears 0."],
        "systems": ["a", "b", "c"],
        "scores": [0.2, 0.9, 0.5],
        "best": 1,
        "tied": 1,
        "n": 3,
    }


def test_how_many_are_as_good_is_said() -> None:
    """Who picks one of them has picked by chance."""
    (row,), _ = best(rated(0.1, system="a"), rated(0.9, system="b"), rated(0.9, system="c"))

    assert (row["best"], row["tied"], row["n"]) == (1, 2, 3)


def test_a_reply_without_a_reward_is_listed_and_never_the_best() -> None:
    """Its place in the lists stays its own, so that they can be read side by side."""
    (row,), count = best(rated(MISSING, system="a"), rated(-0.3, system="b"), rated(-0.5, system="c"))

    assert (row["scores"], row["best"], row["tied"], row["n"]) == ([None, -0.3, -0.5], 1, 1, 3)
    assert left_out(count) == {"replies without a reward": 1}


def test_where_nothing_is_rated_nothing_is_the_best() -> None:
    """Null is no place."""
    (row,), _ = best(rated(MISSING, system="a"), rated(MISSING, system="b"))

    assert (row["best"], row["tied"], row["n"]) == (None, 0, 2)


def test_a_single_reply_is_the_best_of_one() -> None:
    """A row a prompt, always, so that files of several runs have the same rows."""
    rows, count = best(rated(0.1, id="x", said="One."), rated(0.2, 0.3, id="y"))

    assert [(row["prompt_id"], row["best"], row["n"]) for row in rows] == [("x:2", 1, 2), ("y:4", 0, 1)]
    assert count.prompts == 2


# --- rows for trainers ---

SYSTEM = {"role": "system", "content": "S"}
ASKED = {"role": "user", "content": "I lost number 0."}
GOOD, BAD = ({"role": "assistant", "content": f"{system} hears 0."} for system in "ba")
ABOUT = {"prompt_id": "d:2", "margin": 0.5, "score_chosen": 0.75, "score_rejected": 0.25}

ROWS: Mapping[PairFormat, list[dict[str, Any]]] = {
    "trl": [{"prompt": [SYSTEM, ASKED], "chosen": [GOOD], "rejected": [BAD], **ABOUT}],
    "trl-implicit": [{"chosen": [SYSTEM, ASKED, GOOD], "rejected": [SYSTEM, ASKED, BAD], **ABOUT}],
    "openrlhf": [{"chosen": [SYSTEM, ASKED, GOOD], "rejected": [SYSTEM, ASKED, BAD], **ABOUT}],
    "kto": [
        {"prompt": [SYSTEM, ASKED], "completion": [GOOD], "label": True, "prompt_id": "d:2", "score": 0.75},
        {"prompt": [SYSTEM, ASKED], "completion": [BAD], "label": False, "prompt_id": "d:2", "score": 0.25},
    ],
    "swift": [{"messages": [SYSTEM, ASKED, GOOD], "rejected_response": "a hears 0.", **ABOUT}],
    "llamafactory": [
        {
            "conversations": [{"from": "human", "value": "I lost number 0."}],
            "system": "S",
            "chosen": {"from": "gpt", "value": "b hears 0."},
            "rejected": {"from": "gpt", "value": "a hears 0."},
            **ABOUT,
        }
    ],
    "openai": [
        {"input": {"messages": [SYSTEM, ASKED]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
    ],
}


def with_short_system(row: Any) -> Any:
    """Return a row with the policy's instructions, wherever they stand, as `S`."""
    if isinstance(row, list):
        return [with_short_system(each) for each in row]
    if not isinstance(row, dict):
        return "S" if isinstance(row, str) and row.startswith("You are talking with somebody") else row
    return {name: with_short_system(value) for name, value in row.items()}


@pytest.mark.parametrize("form", ROWS)
def test_a_pair_is_the_rows_that_its_trainer_reads(form: PairFormat) -> None:
    """A trainer finds its fields by name, and some refuse a file for one that is missing."""
    (pair,), _ = pairs(rated(0.25, system="a"), rated(0.75, system="b"))

    assert with_short_system(list(pair_rows(pair, form, "plain"))) == ROWS[form]


def test_a_talk_of_several_turns_keeps_its_speakers() -> None:
    """Every trainer has its own names for them."""
    (pair,), _ = pairs(rated(0.1, 0.2, system="a"), rated(0.3, 0.9, system="b", said="a hears 0."))[0][-1:], None

    (row,) = pair_rows(pair, "llamafactory", "plain")

    assert [each["from"] for each in row["conversations"]] == ["human", "gpt", "human"]


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        pytest.param("analysis", "# Analysis\nThey grieve.\n\n# Response\nOh no.", id="analysis"),
        pytest.param("plain", "Oh no.", id="plain"),
    ],
)
def test_a_reply_is_written_as_the_policy_is_asked_to(style: PolicyStyle, expected: str) -> None:
    """The policy learns the form of the prompt it will have."""
    turns = (Turn(role="seeker", text="I lost."), Turn(role="supporter", text="Oh no.", analysis="They grieve."))
    (pair,), _ = pairs(
        rated(0.9, system="b", turns=turns), rated(0.1, turns=(turns[0], Turn(role="supporter", text="So?")))
    )

    (row,) = pair_rows(pair, "trl", style)

    assert row["chosen"] == [{"role": "assistant", "content": expected}]
    assert row["rejected"] == [{"role": "assistant", "content": "So?"}]
    assert ("# Analysis" in row["prompt"][0]["content"]) == (style == "analysis")
