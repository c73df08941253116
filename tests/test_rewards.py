"""Rewards: the authors' own numbers to 1e-12, and what is left where a score is missing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perm_cli.errors import SettingsError
from perm_cli.prompts.rubrics import default_pack
from perm_cli.ratings.rating import Rating
from perm_cli.rewards.formula import Recipe, formula_of, length_term, read_coefficients, read_weights
from perm_cli.rewards.reward import Reward, rewards_of
from perm_cli.words import FUSIONS, FusionName
from tests.makers import DIMENSIONS, EMPATHY, bystander_term, empathy_of, rating

EXACT = 1e-12
COLUMNS: Mapping[FusionName, str] = {
    "harmonic": "harmonic",
    "geometric": "geometric",
    "mean": "mean",
    "weighted-mean": "weighted_mean",
}
FOUR = {"resonation": 4, "expression": 5, "reception": 2, "bystander": 80}
LEVELS = st.floats(1, 5)


def ratings(scores: Mapping[str, float | None], **changes: Any) -> list[Rating]:
    """Return a rating a dimension, failed where the score is None."""
    return [
        rating(dimension=name, score=score, status="failed" if score is None else "scored", **changes)
        for name, score in scores.items()
    ]


def reward(scores: Mapping[str, float | None], recipe: Recipe | None = None) -> Reward:
    """Return the one reward that scores come to."""
    (only,) = rewards_of(ratings(scores), recipe or Recipe())
    return only


@pytest.fixture(scope="session")
def vectors(shared: Path) -> list[dict[str, Any]]:
    """Return the score vectors with what the authors' program makes of them."""
    lines = (shared / "data" / "conformance.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_is_the_authors_own(fusion: FusionName, vectors: list[dict[str, Any]]) -> None:
    """A reward that drifts from the paper's is no longer the paper's."""
    ours = [
        empathy_of([row["scores"][name] for name in EMPATHY], fusion, [row["weights"][name] for name in EMPATHY])
        for row in vectors
    ]

    assert ours == pytest.approx([row[COLUMNS[fusion]] for row in vectors], abs=EXACT, rel=0)


def test_the_terms_are_the_authors_own(vectors: list[dict[str, Any]]) -> None:
    """The two terms are what keeps length and empty warmth from paying."""
    recipe = Recipe(length_penalty=0.001)

    seen_by = [bystander_term(row["bystander"], 0.5) for row in vectors]
    too_long = [length_term(row["completion_tokens"], recipe) for row in vectors]

    assert seen_by == pytest.approx([row["bystander_term"] for row in vectors], abs=EXACT, rel=0)
    assert too_long == pytest.approx([row["length_term"] for row in vectors], abs=EXACT, rel=0)


def test_rewards_made_from_ratings_are_the_authors_own(vectors: list[dict[str, Any]]) -> None:
    """The whole way from ratings to rewards, as a run goes it."""
    given_ratings = [
        each
        for place, row in enumerate(vectors)
        for each in ratings(row["scores"] | {"bystander": row["bystander"]}, dialogue_id=f"{place:03}")
    ]
    tokens = {f"{place:03}": row["completion_tokens"] for place, row in enumerate(vectors)}

    recipe = Recipe(length_penalty=0.001)
    rewards = list(rewards_of(given_ratings, recipe, lambda dialogue, _system, _turn: tokens[dialogue]))

    assert [each.reward for each in rewards] == pytest.approx([row["reward"] for row in vectors], abs=EXACT, rel=0)
    assert [each.empathy for each in rewards] == pytest.approx([row["harmonic"] for row in vectors], abs=EXACT, rel=0)
    assert [each.completion_tokens for each in rewards] == list(tokens.values())


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        # Scores 4, 5, 2, as shares of five 0.8, 1, 0.4.
        pytest.param("harmonic", 3 / 4.75, id="harmonic"),  # 1/0.8 + 1/1 + 1/0.4 is 1.25 + 1 + 2.5
        pytest.param("geometric", 0.32 ** (1 / 3), id="geometric"),  # 0.8 times 1 times 0.4
        pytest.param("mean", 2.2 / 3, id="mean"),
        pytest.param("weighted-mean", 0.65, id="weighted"),  # weights 1, 1, 2: 0.8 + 1 + 0.8 = 2.6, over 4
    ],
)
def test_a_fusion_worked_out_by_hand(fusion: FusionName, expected: float) -> None:
    """Someone who never saw the shared file can check these on paper."""
    fused = empathy_of([4, 5, 2], fusion, [1, 1, 2])

    assert fused == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_equal_scores_fuse_to_their_share_of_five(fusion: FusionName, level: int) -> None:
    """Whatever the formula, nothing is gained or lost where all agree."""
    fused = empathy_of([level] * 3, fusion, [1, 2, 3])

    assert fused == pytest.approx(level / 5, abs=EXACT)


@given(st.lists(LEVELS, min_size=3, max_size=3))
def test_harmonic_is_at_most_geometric_and_that_at_most_the_mean(scores: list[float]) -> None:
    """The harder a fusion is on one bad side, the lower it must be."""
    harmonic, geometric, mean = (empathy_of(scores, name) for name in ("harmonic", "geometric", "mean"))

    assert harmonic <= geometric + EXACT
    assert geometric <= mean + EXACT


@pytest.mark.parametrize(
    ("tokens", "taken"),
    [
        pytest.param(0, 0.0, id="none"),
        pytest.param(768, 0.0, id="at-the-limit"),
        pytest.param(769, -0.001, id="one-over"),
        pytest.param(1768, -1.0, id="far-over"),
    ],
)
def test_only_tokens_over_the_limit_cost(tokens: int, taken: float) -> None:
    """A reply of ordinary length is not pushed to be shorter still."""
    term = length_term(tokens, Recipe(length_penalty=0.001))

    assert term == pytest.approx(taken, abs=EXACT)


@pytest.mark.parametrize(("score", "taken"), [(0, -0.5), (50, -0.25), (100, 0.0)])
def test_the_bystander_only_takes_off(score: int, taken: float) -> None:
    """Substance earns nothing; the lack of it costs."""
    assert bystander_term(score, 0.5) == pytest.approx(taken, abs=EXACT)


def test_a_reward_is_the_sum_of_its_parts() -> None:
    """The record shows the parts, so that one can see where a reward comes from."""
    recipe = Recipe(length_penalty=0.001)

    (made,) = rewards_of(ratings(FOUR), recipe, lambda *_: 868)

    # 3 / 4.75 = 0.631579; 0.5 (0.8 - 1) = -0.1; -0.001 (868 - 768) = -0.1
    assert (made.empathy, made.terms["bystander"], made.length_term) == pytest.approx((3 / 4.75, -0.1, -0.1), abs=EXACT)
    assert made.reward == pytest.approx(3 / 4.75 - 0.2, abs=EXACT)
    assert made.reward == made.reward_low == made.reward_high
    assert made.missing == {}


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        # The bystander's 80 takes 0.1 off. Shares of five: 0.8, 1, 0.4; a missing one is 0.2 at worst and 1 at best.
        pytest.param("resonation", 3 / 8.5 - 0.1, 3 / 4.5 - 0.1, id="resonation"),  # 5 or 1, + 1 + 2.5
        pytest.param("expression", 3 / 8.75 - 0.1, 3 / 4.75 - 0.1, id="expression"),  # 1.25 + 5 or 1, + 2.5
        pytest.param("reception", 3 / 7.25 - 0.1, 3 / 3.25 - 0.1, id="reception"),  # 1.25 + 1 + 5 or 1
        pytest.param("bystander", 3 / 4.75 - 0.5, 3 / 4.75, id="bystander"),
    ],
)
def test_a_missing_score_leaves_bounds_and_no_reward(name: str, low: float, high: float) -> None:
    """A guess would be paid out to the policy as if it had been earned."""
    made = reward(FOUR | {name: None})

    assert made.reward is None
    assert (made.reward_low, made.reward_high) == pytest.approx((low, high), abs=EXACT)
    assert made.missing == {name: "failed"}
    assert (made.terms["bystander"] is None) == (name == "bystander")
    assert (made.empathy is None) == (name in EMPATHY)


def test_without_any_score_the_bounds_are_the_widest() -> None:
    """All is open: 0.2 - 0.5 at worst, 1 at best."""
    made = reward(dict.fromkeys(DIMENSIONS))

    assert (made.reward, made.reward_low, made.reward_high) == (None, pytest.approx(-0.3), pytest.approx(1.0))


def test_a_dimension_nobody_rated_is_missing_too() -> None:
    """A run that was stopped has turns with a part of their ratings."""
    made = reward({"reception": 4})

    assert made.missing == dict.fromkeys(("resonation", "expression", "bystander"), "not rated")


def test_without_its_coefficient_a_missing_bystander_leaves_nothing_open() -> None:
    """Who turns the bystander off does not need its score."""
    made = reward(FOUR | {"bystander": None}, Recipe(coefficients={"bystander": 0.0}))

    assert made.reward == made.reward_low == made.reward_high == pytest.approx(3 / 4.75, abs=EXACT)


@given(
    scores=st.fixed_dictionaries(
        {
            **dict.fromkeys(EMPATHY, st.none() | LEVELS),
            "bystander": st.none() | st.floats(0, 100),
        }
    ),
    fusion=st.sampled_from(FUSIONS),
    coefficient=st.sampled_from([0.0, 0.5, 2.0]),
)
def test_the_bounds_hold_whatever_the_missing_scores_would_have_been(
    scores: dict[str, float | None], fusion: FusionName, coefficient: float
) -> None:
    """The bounds are a promise: filling a gap in never leads outside them."""
    recipe = Recipe(fusion=fusion, coefficients={"bystander": coefficient})
    filled = {name: 3.0 if score is None else score for name, score in scores.items()}

    made, complete = reward(scores, recipe), reward(filled, recipe)

    assert complete.reward is not None
    assert made.reward_low - EXACT <= complete.reward <= made.reward_high + EXACT
    assert made.reward is None or made.reward == complete.reward


@pytest.mark.parametrize(
    ("mode", "scores", "score"),
    [
        pytest.param("mean", [5, 4, 2], 11 / 3, id="mean"),
        pytest.param("expected", [4.25, 4.75], 4.5, id="expected"),
        pytest.param("mode", [2, 5, 5], 5, id="mode"),
        pytest.param("mode", [5, 2, 5, 2], 2, id="mode-tied"),
        pytest.param("mode", [5, 4, 3], 3, id="mode-all-different"),
        pytest.param("mode", [None, 4, None], 4, id="mode-of-those-that-came"),
        pytest.param("mode", [None, None], None, id="none-came"),
    ],
)
def test_samples_become_one_score(mode: Any, scores: list[float | None], score: float | None) -> None:
    """A tie goes to the lower score, as a doubt is no reason to pay more."""
    samples = [each for place, one in enumerate(scores) for each in ratings({"reception": one}, sample=place)]

    (made,) = rewards_of(samples, Recipe(score=mode))

    assert made.scores["reception"] == (score if score is None else pytest.approx(score, abs=EXACT))


@pytest.mark.parametrize("last", [5, None])
def test_the_last_rating_of_a_question_counts(last: float | None) -> None:
    """A resumed run appends; it never goes back to change a line."""
    made = reward(FOUR)
    (again,) = rewards_of([*ratings(FOUR), *ratings({"reception": last})], Recipe())

    assert made.scores["reception"] == 2
    assert again.scores["reception"] == last


def test_a_caveat_follows_the_settings_it_was_made_under() -> None:
    """A number from a judge that is known to be no good must never travel alone."""
    two = [*ratings(FOUR, settings="good"), *ratings(FOUR, settings="small")]

    made = rewards_of(two, Recipe(), caveats={"small": "too small to judge"})

    assert {each.settings: each.caveat for each in made} == {"good": None, "small": "too small to judge"}


def test_rewards_come_in_the_order_of_the_ratings() -> None:
    """The ledger puts them in order, on disk; here nothing is held back."""
    places = [("b", "s", 2), ("a", "t", 2), ("a", "s", 4), ("a", "s", 10)]

    made = rewards_of([rating(dialogue_id=d, system=s, turn=t) for d, s, t in places], Recipe())

    assert [(each.dialogue_id, each.system, each.turn) for each in made] == places


def test_judges_and_settings_are_kept_apart() -> None:
    """Two judges' opinions are never mixed into one reward."""
    mixed = [rating(judge="a", score=1), rating(judge="b", score=5), rating(judge="b", settings="y", score=3)]

    made = rewards_of(mixed, Recipe())

    assert [(each.judge, each.settings, each.scores["reception"]) for each in made] == [
        ("a", "x", 1),
        ("b", "x", 5),
        ("b", "y", 3),
    ]


def test_lengths_are_not_asked_for_without_a_penalty() -> None:
    """Counting tokens means reading the dialogues again."""
    (made,) = rewards_of(ratings(FOUR), Recipe(), lambda *_: pytest.fail("nobody needs this"))

    assert (made.completion_tokens, made.length_term) == (None, 0.0)


def test_nothing_comes_of_nothing() -> None:
    """A run that was stopped before its first call still ends in order."""
    assert list(rewards_of([], Recipe())) == []


def test_weights_are_read_from_the_command_line() -> None:
    """Any order will do."""
    weights = read_weights(" expression = 2,resonation=1 ,reception=0.5")

    assert weights == {"resonation": 1.0, "expression": 2.0, "reception": 0.5}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("1,1,1", id="without-names"),
        pytest.param("resonation=1,expression=1,reception=0", id="nought"),
        pytest.param("resonation=1,expression=1,reception=-1", id="negative"),
        pytest.param("resonation=1,expression=1,reception=inf", id="infinite"),
        pytest.param("resonation=1,expression=1,reception=nan", id="no-number"),
        pytest.param("resonation=1,expression=1,reception=high", id="word"),
    ],
)
def test_weights_that_make_no_mean_are_refused(text: str) -> None:
    """The message says what was found and what was expected."""
    with pytest.raises(SettingsError, match="expected DIMENSION=NUMBER,… with numbers above 0"):
        read_weights(text)


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param({"resonation": 1, "expression": 1}, id="one-missing"),
        pytest.param(dict.fromkeys(DIMENSIONS, 1), id="one-too-many"),
    ],
)
def test_weights_of_other_dimensions_are_refused(weights: dict[str, float]) -> None:
    """The message names those of the pack."""
    with pytest.raises(SettingsError, match="expected resonation=NUMBER,expression=NUMBER,reception=NUMBER"):
        formula_of(default_pack(), Recipe(fusion="weighted-mean", weights=weights))


@pytest.mark.parametrize("text", ["", "0.5", "bystander=-1", "bystander=inf", "bystander=101", "bystander=much"])
def test_coefficients_that_take_nothing_off_are_refused(text: str) -> None:
    """Infinity would make rewards of nothing."""
    with pytest.raises(SettingsError, match="expected DIMENSION=NUMBER,… with numbers from 0 to 100"):
        read_coefficients(text)


def test_a_coefficient_of_a_dimension_that_takes_nothing_off_is_refused() -> None:
    """It would change nothing in silence."""
    with pytest.raises(SettingsError, match="'reception' found, expected one of bystander for the reward of perm"):
        formula_of(default_pack(), Recipe(coefficients=read_coefficients("reception=0.5")))
