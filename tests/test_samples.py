"""The sample dialogues: what a user tries first, so they must show everything the format can hold."""

from collections import defaultdict
from pathlib import Path

import pytest

from perm_cli.dialogues.check import check_dialogues, read_dialogues
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import source_of

SAMPLES = Path(__file__).parents[1] / "data" / "samples" / "dialogues.jsonl"


@pytest.fixture(scope="module")
def samples() -> list[Dialogue]:
    """Return the sample dialogues."""
    return list(read_dialogues([source_of(str(SAMPLES))], Reading()))


@pytest.fixture(scope="module")
def situations(samples: list[Dialogue]) -> dict[str, list[Dialogue]]:
    """Return the sample dialogues by id."""
    found = defaultdict(list)
    for sample in samples:
        found[sample.id].append(sample)
    return found


def test_the_samples_are_in_the_native_format_without_remarks() -> None:
    """They are the example of the format; nothing about them may be odd."""
    (census,) = check_dialogues([source_of(str(SAMPLES))], Reading())

    assert census.format == "native"
    assert census.dialogues >= 16
    assert not census.remarks


def test_three_systems_answer_every_situation(situations: dict[str, list[Dialogue]]) -> None:
    """The report compares systems, and only what answered the same situations can be compared."""
    systems = {name: sorted(each.system for each in answers) for name, answers in situations.items()}

    assert set(map(tuple, systems.values())) == {("attentive", "dismissive", "generic")}


def test_samples_have_one_turn_pair_and_several(samples: list[Dialogue]) -> None:
    """Both shapes are judged; a first try shows both."""
    supporter_turns = {sum(turn.role == "supporter" for turn in sample.turns) for sample in samples}

    assert 1 in supporter_turns
    assert max(supporter_turns) > 1


def test_some_samples_carry_an_analysis_on_every_supporter_turn_and_some_none(samples: list[Dialogue]) -> None:
    """Resonation is judged in two ways, with the analysis and without."""
    carried = [
        {turn.analysis is not None for turn in sample.turns if turn.role == "supporter"}  # {True}, {False} or both
        for sample in samples
    ]

    assert {True} in carried
    assert {False} in carried
    assert {True, False} not in carried


def test_scenario_and_persona_are_everywhere(samples: list[Dialogue]) -> None:
    """Three of the four perspectives read them."""
    assert all(sample.scenario.strip() and sample.persona.strip() for sample in samples)


def test_all_systems_of_a_situation_meet_the_same_seeker(situations: dict[str, list[Dialogue]]) -> None:
    """A difference in scores must come from the replies."""
    met = {
        name: {(each.scenario, each.persona, each.turns[0]) for each in answers} for name, answers in situations.items()
    }

    assert {len(seekers) for seekers in met.values()} == {1}
    assert {each.turns[0].role for answers in situations.values() for each in answers} == {"seeker"}
