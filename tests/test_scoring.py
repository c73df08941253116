"""From dialogues to ratings, with fake judges: what is asked, in which order, and what stops it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import source_of
from perm_cli.errors import AssetError, CallFailed, InputError, JudgeUnusable, SettingsError
from perm_cli.judges.judge import Reply, Request
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.rating import Rating
from perm_cli.ratings.run_folder import open_run
from perm_cli.scoring.job import Job, Order, calls_of, entered, prepare
from perm_cli.scoring.live import Stop, make_ratings
from tests.makers import row, written

ITEMS = '"effectiveness": 10, "clarity": 10, "efficiency": 10, "objectivity": 10, "accuracy": 10'
GOOD = f'{{"rationale": "x", "score": 4, {ITEMS}}}'


@dataclass
class Fake:
    """Answer with what a function makes of a request, and count."""

    answering: Callable[[int], str | Exception] = lambda _: GOOD
    asked: list[Request] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0

    async def ask(self, request: Request) -> Reply:
        """Return the reply, or raise it."""
        self.asked.append(request)
        place = len(self.asked)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        answer = self.answering(place)
        if isinstance(answer, Exception):
            raise answer
        return Reply(text=answer)


@dataclass
class Looking:
    """Keep what a watch is told."""

    ratings: list[Rating] = field(default_factory=list)
    known: int = 0

    def rated(self, rating: Rating) -> None:
        """Keep a rating."""
        self.ratings.append(rating)

    def kept(self, ratings: int = 1) -> None:
        """Count ratings that were there."""
        self.known += ratings


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """Return an order for three dialogues by a judge of no particular kind."""
    path = written(tmp_path / "d.jsonl", [row(place) for place in range(3)])
    return Order(
        sources=[source_of(str(path))],
        reading=Reading(),
        judge=JudgeSettings(name="fake", model="fake/one", concurrency=4),
        rubrics=shipped("rubrics") / "perm",
        prompts=shipped("prompts") / "en",
    )


def made(job: Job, judge: Fake, path: Path, stop: Stop | None = None) -> tuple[set[str], Looking]:
    """Make the ratings of a job in a folder; return the keys that then come of it."""
    watch = Looking()
    with open_run(path) as folder:
        entered(job, folder, "perm score")
        asyncio.run(make_ratings(job, judge, folder, watch, stop or Stop()))
        return {outcome.key for outcome in folder.outcomes() if outcome.key}, watch


def changed(order: Order, **changes: Any) -> Order:
    """Return the order with another judge."""
    return replace(order, judge=replace(order.judge, **changes))


def test_every_turn_gets_every_dimension_once(order: Order, tmp_path: Path) -> None:
    """Three turns and four dimensions are twelve ratings."""
    wanted, watch = made(prepare(order), Fake(), tmp_path / "run")

    assert len(wanted) == len(watch.ratings) == 12
    assert {(each.dialogue_id, each.dimension) for each in watch.ratings} == {
        (dialogue, dimension)
        for dialogue in ("d0", "d1", "d2")
        for dimension in ("resonation", "expression", "reception", "bystander")
    }
    assert all(each.status == "scored" for each in watch.ratings)


def test_a_finished_run_asks_nothing(order: Order, tmp_path: Path) -> None:
    """Nothing is paid for twice."""
    first, _ = made(prepare(order), Fake(), tmp_path / "run")
    judge = Fake()

    second, watch = made(prepare(order), judge, tmp_path / "run")

    assert (first, judge.asked, watch.known) == (second, [], 12)


def test_only_transient_failures_are_asked_again(order: Order, tmp_path: Path) -> None:
    """What an endpoint will never accept is not tried forever."""

    def answering(place: int) -> str | Exception:
        if place == 2:
            return CallFailed("gone", kind="timeout", transient=True)
        return CallFailed("too long", kind="too_long", transient=False) if place == 3 else GOOD

    made(prepare(order), Fake(answering), tmp_path / "run")
    judge = Fake()

    made(prepare(order), judge, tmp_path / "run")

    assert len(judge.asked) == 1


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"temperature": 0.0}, id="temperature"),
        pytest.param({"model": "fake/two"}, id="model"),
        pytest.param({"base_url": "http://elsewhere/v1"}, id="address"),
        pytest.param({"params": {"top_p": 0.5}}, id="params"),
        pytest.param({"logprobs": True}, id="expected-scores"),
    ],
)
def test_other_settings_make_other_ratings(order: Order, changes: dict[str, Any]) -> None:
    """A rating made under other settings never stands in for this one."""
    keys = {call.key for call in calls_of(prepare(order))}

    others = {call.key for call in calls_of(prepare(changed(order, **changes)))}

    assert not keys & others


@pytest.mark.parametrize("changes", [{"timeout_s": 9.0}, {"concurrency": 1}, {"api_key_env": "K"}, {"name": "n"}])
def test_how_fast_it_is_asked_changes_no_key(order: Order, changes: dict[str, Any]) -> None:
    """Patience and keys say nothing about what the judge answers."""
    keys = {call.key for call in calls_of(prepare(order))}

    assert {call.key for call in calls_of(prepare(changed(order, **changes)))} == keys


def test_samples_are_ratings_of_their_own(order: Order, tmp_path: Path) -> None:
    """Raising the number of samples pays for the added ones only, and every sample has a seed."""
    made(prepare(replace(order, samples=2)), Fake(), tmp_path / "run")
    judge = Fake()

    wanted, _ = made(prepare(replace(order, samples=3)), judge, tmp_path / "run")

    assert len(wanted) == 36
    assert [request.seed for request in judge.asked] == [2] * 12


def test_the_first_call_goes_alone(order: Order, tmp_path: Path) -> None:
    """A wrong key costs one call, whatever the concurrency."""
    judge = Fake(lambda _: JudgeUnusable("wrong key"))

    with pytest.raises(JudgeUnusable, match="wrong key"):
        made(prepare(order), judge, tmp_path / "run")

    assert len(judge.asked) == 1


def test_calls_in_flight_are_bounded_and_used(order: Order, tmp_path: Path) -> None:
    """The concurrency asked for is reached and never passed."""
    judge = Fake()

    made(prepare(order), judge, tmp_path / "run")

    assert judge.peak == 4


def test_a_judge_that_becomes_unusable_keeps_what_was_rated(order: Order, tmp_path: Path) -> None:
    """The ratings before the key expired were paid for."""
    judge = Fake(lambda place: GOOD if place < 6 else JudgeUnusable("expired"))

    with pytest.raises(JudgeUnusable):
        made(prepare(order), judge, tmp_path / "run")

    assert len((tmp_path / "run" / "ratings.jsonl").read_text().splitlines()) == 5


def test_a_wish_to_stop_begins_nothing_more(order: Order, tmp_path: Path) -> None:
    """What is in flight is finished and written; the rest is left for another time."""
    stop = Stop()

    def answering(place: int) -> str:
        stop.requested = place >= 3
        return GOOD

    _, watch = made(prepare(order), Fake(answering), tmp_path / "run", stop)

    assert 3 <= len(watch.ratings) <= 3 + 4


def test_an_embedded_judge_is_asked_dimension_by_dimension(order: Order, tmp_path: Path) -> None:
    """Its one prompt cache then holds the rubric that all but the first call of a dimension begin with."""
    weights = tmp_path / "small.gguf"
    weights.write_bytes(b"GGUF")
    job = prepare(replace(order, judge=JudgeSettings(name="local", model=f"local:{weights}")))

    dimensions = [call.question.dimension.name for call in calls_of(job)]

    assert dimensions == sorted(dimensions, key=list(job.book.pack.dimensions).index)


def test_expectations_without_probabilities_stop_the_run(order: Order, tmp_path: Path) -> None:
    """Falling back in silence would make a number that is not what was asked for."""
    judge = Fake()

    with pytest.raises(JudgeUnusable, match="gives no log-probabilities"):
        made(prepare(changed(order, logprobs=True)), judge, tmp_path / "run")

    assert len(judge.asked) == 1


def test_the_mean_of_samples_stands_in_for_probabilities(order: Order, tmp_path: Path) -> None:
    """With several samples there is something finer than one verdict to go by."""
    job = prepare(replace(changed(order, logprobs=True), samples=2))

    _, watch = made(job, Fake(), tmp_path / "run")

    assert {each.status for each in watch.ratings} == {"scored"}


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        pytest.param({"sources": [source_of("missing.jsonl")]}, InputError, id="dialogues"),
        pytest.param({"rubrics": Path("nowhere")}, AssetError, id="rubrics"),
        pytest.param({"prompts": Path("nowhere")}, AssetError, id="prompts"),
        pytest.param({"samples": 0}, SettingsError, id="samples"),
    ],
)
def test_mistakes_are_found_before_any_call(order: Order, spoil: dict[str, Any], error: type[Exception]) -> None:
    """Preparing takes no judge, so nothing can have been paid for."""
    with pytest.raises(error):
        prepare(replace(order, **spoil))


def test_dialogues_stream(order: Order) -> None:
    """Calls are worked out as they are needed: the second dialogue is not read for the first one's calls."""
    job = prepare(order)
    read: list[str] = []

    def reading() -> Iterator[Dialogue]:
        for dialogue in job.read():
            read.append(dialogue.id)
            yield dialogue

    next(calls_of(job, reading))

    assert read == ["d0"]
