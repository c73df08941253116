"""Rating on Ray: the same ratings as one process makes, on a real Ray of this machine."""

import asyncio
import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import source_of
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.rating import Rating
from perm_cli.ratings.run_folder import open_run, remove_work
from perm_cli.ratings.shards import read_shard, write_shard
from perm_cli.scoring.job import Order, entered, prepare
from perm_cli.scoring.on_ray import RayWorker, _brief, _rows, _shards
from tests.chaos import SOAK
from tests.loopback import Answer, Loopback, loopback, refusal, verdict
from tests.makers import rating, row, written
from tests.programs import Ended, perm, started

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
KEY = "sk-never-to-be-seen"


def order(server: Loopback, files: Path, out: Path, *options: str) -> list[str]:
    """Return the arguments of a run."""
    command = ["score", str(files), "--judge", "openai/m", "--base-url", server.url, "--out", str(out)]
    return [*command, "--api-key-env", "JUDGE_KEY", "--json", *options]


def scored(server: Loopback, files: Path, out: Path, *options: str) -> Ended:
    """Run to the end."""
    return perm(*order(server, files, out, *options), JUDGE_KEY=KEY)


def scores_in(out: Path) -> dict[tuple[str, str], Any]:
    """Return the score of every dialogue and dimension in a run's shards."""
    rows = [row for shard in sorted((out / "ratings").glob("*.parquet")) for row in read_shard(shard)]
    assert len({row["key"] for row in rows if row}) == len(rows)
    return {(row["dialogue_id"], row["dimension"]): row["score"] for row in rows if row}


def test_ray_makes_the_ratings_and_rewards_of_one_process_and_resumes(tmp_path: Path) -> None:
    """Where a number was made must not be seen in it; a key must not be seen at all."""
    files = written(tmp_path / "d.jsonl", [row(place) for place in range(60)])
    with loopback(verdict, latency_s=0.02) as server:
        alone = scored(server, files, tmp_path / "alone")
        asked = len(server.requests)
        made = scored(server, files, tmp_path / "ray", "--ray")
        again = scored(server, files, tmp_path / "ray", "--ray", "local")

        assert (alone.code, made.code, again.code) == (0, 0, 0), made.err
        assert (asked, len(server.requests)) == (240, 480)
    assert json.loads(made.out)["coverage"] == 1.0  # nothing but the summary stands on standard output
    rewards = [(tmp_path / name / "rewards.jsonl").read_bytes() for name in ("alone", "ray")]
    assert rewards[0] == rewards[1]
    found = [path.read_bytes() for path in (tmp_path / "ray").rglob("*") if path.is_file()]
    assert not any(KEY.encode() in content for content in found)
    assert not (tmp_path / "ray" / "todo").exists()


@pytest.mark.skipif(not SOAK, reason="one more Ray takes long: make soak")
def test_a_killed_job_goes_on_from_what_was_written(tmp_path: Path) -> None:
    """A shard that is on disk is not paid for again, whether the rest is made on Ray or here."""
    files = written(tmp_path / "d.jsonl", [row(place) for place in range(48)])
    with loopback(latency_s=0.1) as server:
        command = order(server, files, tmp_path / "run", "--ray", "--concurrency", "8")
        with started(*command, JUDGE_KEY=KEY) as program:
            program.until(lambda: list((tmp_path / "run" / "ratings").glob("*.parquet")))
        kept = scores_in(tmp_path / "run")

        assert_goes_on(server, files, tmp_path / "run", kept)


def assert_goes_on(server: Loopback, files: Path, out: Path, kept: dict[tuple[str, str], Any]) -> None:
    """Make sure that a run makes the rest of its 192 ratings, and no other."""
    ended = scored(server, files, out)

    assert ended.code == 0, ended.err
    lines = (out / "ratings.jsonl").read_text().splitlines()
    made = {(line["dialogue_id"], line["dimension"]) for line in map(json.loads, lines)}
    shards = scores_in(out)
    assert kept.items() <= shards.items()
    assert not made & shards.keys()
    assert len(made) + len(shards) == 192


def graded(server: Loopback, files: Path, out: Path, tries: bytes = b"") -> tuple[dict[str, list[Any]], Path]:
    """Have one worker rate all dialogues as one shard, as Ray would; return what it says and the shard."""
    judge = JudgeSettings(name="m", model="openai/m", base_url=server.url)
    reading = Reading()
    job = prepare(
        Order(
            sources=[source_of(str(files))],
            reading=reading,
            judge=judge,
            rubrics=shipped("rubrics") / "perm",
            prompts=shipped("prompts") / "en",
        )
    )
    with open_run(out) as folder:
        entered(job, folder, "perm score")
        (out / "ratings").mkdir(exist_ok=True)
        shards = list(_shards(_rows(job, folder, _Nobody(), None), out / "todo" / "1", judge))
        brief = _brief(job, folder, judge)
        shards[0].with_suffix(".tries").write_bytes(tries)

    async def work() -> dict[str, list[Any]]:
        return await RayWorker(brief)({"shard": [str(shards[0])]})

    return asyncio.run(work()), shards[0]


class _Nobody:
    """Look on and keep nothing."""

    def rated(self, rating: Rating) -> None:
        """Take no note."""

    def kept(self, ratings: int = 1) -> None:
        """Take no note."""


def test_what_a_killed_driver_leaves_is_not_paid_for_again(tmp_path: Path) -> None:
    """One shard is on disk, the others are still to do; the rest may be made on Ray or here."""
    files = written(tmp_path / "d.jsonl", [row(place) for place in range(48)])
    with loopback() as server:
        graded(server, files, tmp_path / "run")
        kept, asked = scores_in(tmp_path / "run"), len(server.requests)

        assert 0 < len(kept) == asked < 192
        assert_goes_on(server, files, tmp_path / "run", kept)
        assert len(server.requests) == 192


def test_a_wrong_key_costs_a_worker_one_call_and_ends_the_work_of_all(tmp_path: Path) -> None:
    """A thousand workers must not find out a thousand times."""
    files = written(tmp_path / "d.jsonl", [row(place) for place in range(8)])
    with loopback(lambda _: refusal(401, "bad key")) as server:
        said, shard = graded(server, files, tmp_path / "run")

        assert len(server.requests) == 1
    assert (said["fatal"], said["file"]) == ([True], [""])
    assert "does not accept the API key" in said["problem"][0]
    assert (shard.parent / "stop").exists()


def test_answers_of_any_kind_become_ratings(tmp_path: Path) -> None:
    """A reply that nobody can read is a rating without a score, on Ray as elsewhere."""
    files = written(tmp_path / "d.jsonl", [row(place) for place in range(4)])

    def answering(body: dict[str, Any]) -> Answer:
        return verdict(body) if "number 0" in json.dumps(body) else Answer(text="I would rather not say.")

    with loopback(answering) as server:
        said, _ = graded(server, files, tmp_path / "run")

    assert (said["fatal"], said["problem"]) == ([False], [""])
    statuses = Counter(each and each["status"] for each in read_shard(Path(said["file"][0])))
    assert statuses == {"scored": 4, "unparseable": 12}


def test_a_judge_that_never_gives_a_verdict_ends_the_work_of_all(tmp_path: Path) -> None:
    """It is not paid to the end, and what it wrote is kept."""
    files = written(tmp_path / "d.jsonl", [row(place) for place in range(9)])
    with loopback(lambda _: Answer(text="I would rather not say.")) as server:
        said, _ = graded(server, files, tmp_path / "run")

    assert said["fatal"] == [True]
    assert "8 replies and no verdict that can be read, the last: 'I would rather not say.'" in said["problem"][0]


def test_a_shard_that_ends_its_workers_is_given_up(tmp_path: Path) -> None:
    """One poisonous dialogue must not keep a cluster restarting."""
    files = written(tmp_path / "d.jsonl", [row()])
    with loopback() as server:
        said, _ = graded(server, files, tmp_path / "run", tries=b"xxx")

        assert server.requests == []
    assert said["problem"] == ["shard 000000 has crashed its worker 3 times; its ratings are missing"]


def test_a_worker_whose_work_was_taken_away_writes_nothing(tmp_path: Path) -> None:
    """A driver that was killed leaves workers behind; its successor has read the folder, and makes the rest anew."""
    files = written(tmp_path / "d.jsonl", [row()])

    def answering(body: dict[str, Any]) -> Answer:
        remove_work(tmp_path / "run" / "todo")
        return verdict(body)

    with loopback(answering) as server:
        said, _ = graded(server, files, tmp_path / "run")

        assert server.requests
    assert said["file"] == [""]
    assert list((tmp_path / "run" / "ratings").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(("--ray", "--budget", "5calls"), "--budget cannot be used with --ray", id="budget"),
        pytest.param(("--ray", "127.0.0.1:9"), "expected local, auto or HOST:PORT", id="nobody-there"),
        pytest.param(("--ray=moon",), "expected local, auto or HOST:PORT", id="no-address"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(tmp_path: Path, options: tuple[str, ...], expected: str) -> None:
    """Ray itself would wait for minutes, or print a page."""
    files = written(tmp_path / "d.jsonl", [row()])
    with loopback() as server:
        ended = scored(server, files, tmp_path / "run", *options)

    assert ended.code == 1
    assert expected in ended.err.splitlines()[-1]
    assert server.requests == []


def test_a_shard_holds_ratings_as_they_are(tmp_path: Path) -> None:
    """Reports must not tell where ratings come from."""
    made = [
        rating(items={"clarity": 3}, distribution={"1": 0.5, "missing": 0.5}, raw="line\n", cost_usd=0.25),
        rating(status="failed", score=None, error={"kind": "timeout", "transient": True}),
    ]
    write_shard(made, tmp_path / "a.parquet", tmp_path / "a.part")

    found = list(read_shard(tmp_path / "a.parquet"))

    assert [row and (row["items"], row["error"], row["cost_usd"], row["raw"]) for row in found] == [
        ({"clarity": 3}, None, 0.25, "line\n"),
        (None, {"kind": "timeout", "transient": True}, None, ""),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]
