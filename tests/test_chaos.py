"""
Whatever happens to a run (faults, signals, crashes, full disks, bad networks), it says so and nothing paid for is lost.

Real parts only: the program as a process of its own, and servers on the loopback. `make soak` runs it for longer.
"""

import json
import os
import re
import resource
import shutil
import signal
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.request import urlopen

import pytest

from tests.chaos import (
    FAULTS,
    KEY,
    REASONS,
    Judge,
    dice,
    free_port,
    lines_of,
    outcome_of,
    ratings_of,
    sized,
)
from tests.loopback import Answer, verdict
from tests.makers import row, written
from tests.programs import Ended, environment, perm, started

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals, limits and mounts are those of Unix")

DEAD_WITHIN_S = 40.0  # how long a run that is told to be patient for 5 s may go on without its judge
QUICK_S = 20.0  # how long a run may take to see that it cannot begin, on a machine that has other things to do
RUN = Path("run")


def order(dialogues: int, url: str, *more: object, folder: Path = Path()) -> list[str]:
    """Return the arguments that rate this many dialogues of one supporter turn, which is four calls each."""
    path = written(folder / "d.jsonl", [row(place) for place in range(dialogues)])
    return ["score", path.name, "--judge", "m", "--base-url", url, "--out", str(RUN), *map(str, more)]


def assert_whole(run: Path, calls: int) -> None:
    """Make sure that every question has a score and that none was scored twice."""
    scored = Counter(rating["key"] for rating in ratings_of(run) if rating["status"] == "scored")
    assert (len(scored), scored.total()) == (calls, calls)
    assert json.loads((run / "summary.json").read_text())["coverage"] == 1.0


def assert_secret(run: Path, *ended: Ended) -> None:
    """Make sure that the key is in no output and in no file."""
    assert not [each for each in ended if KEY in each.out + each.err]
    assert not [path for path in run.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


PAGE = Answer(status=502, body=b"<html><h1>502 Bad Gateway</h1></html>", headers={"Content-Type": "text/html"})


class TestJudgeGone:
    """A judge that goes away, for a while or for good. It stands first because it takes the longest."""

    def test_for_good_ends_the_run_in_bounded_time(self, tmp_path: Path) -> None:
        """
        Nobody wants to find in the morning that all night was spent on retrying what cannot succeed.

        The judges go at the same time, so that the test waits once.
        """
        with ExitStack() as stack:
            losses = [Loss(stack, tmp_path / how) for how in ("dies", "gateway", "gateway from the start")]
            for loss in losses:
                loss.lose_judge()
            deadline = monotonic() + DEAD_WITHIN_S
            late = [loss.folder.name for loss in losses if not loss.is_over(deadline)]
            ended = {loss.folder.name: loss.program.ended(1) for loss in losses if loss.folder.name not in late}

            assert not late, f"still running after {DEAD_WITHIN_S:g} s"
            assert {how: each.code for how, each in ended.items()} == dict.fromkeys(ended, 1)
            for loss in losses:
                assert loss.judge.url in ended[loss.folder.name].complaint
                loss.judge.answering = verdict
                loss.judge.restart()
                assert loss.perm_again().code == 0
                assert_whole(loss.folder / RUN, 160)

    def test_for_a_while_loses_nothing(self) -> None:
        """A judge that restarts is waited for."""
        with Judge(latency_s=0.02) as judge:
            command = order(sized(40, 400), judge.url, "--concurrency", "8")
            with started(*command) as program:
                for part in range(1, sized(2, 10)):
                    assert program.until(lambda part=part: len(lines_of(RUN)) >= 20 * part)
                    judge.die()
                    down_until = monotonic() + 0.5
                    assert program.until(lambda until=down_until: monotonic() > until)
                    judge.start()
                ended = program.ended()

        assert ended.code == 0, ended.err
        assert_whole(RUN, 4 * sized(40, 400))


class Loss:
    """Start a run that will lose its judge."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.judge = stack.enter_context(Judge(latency_s=0.02))
        if "start" in folder.name:
            self.judge.answering = lambda _: PAGE
        self._command = order(
            40, self.judge.url, "--concurrency", "4", "--timeout", "1", "--patience", "5", folder=folder
        )
        self.program = stack.enter_context(started(*self._command, cwd=folder))

    def lose_judge(self) -> None:
        """Wait until the run is under way, and take its judge away."""
        assert "start" in self.folder.name or self.program.until(lambda: len(lines_of(self.folder / RUN)) >= 12)
        if self.folder.name == "dies":
            self.judge.die()
        self.judge.answering = lambda _: PAGE

    def is_over(self, deadline: float) -> bool:
        """Tell whether the run ends in time."""
        return not self.program.until(lambda: monotonic() > deadline)

    def perm_again(self) -> Ended:
        """Give the same command again."""
        return perm(*self._command, cwd=self.folder)


class TestFaults:
    """A judge that fails in every way at once."""

    def test_every_rating_has_a_true_score_or_a_true_reason(self) -> None:
        """What has a score has that of a run without faults; what has none says what happened to it last."""
        dialogues = sized(40, 5000)
        with Judge(latency_s=0.005) as judge:
            perm(*order(dialogues, judge.url))
        faultless = outcome_of(RUN)
        shutil.rmtree(RUN)

        with Judge(latency_s=0.005, faults=FAULTS) as judge:
            ended = perm(*order(dialogues, judge.url, "--timeout", "1", "--min-coverage", "0.97"))

        ratings, outcome = ratings_of(RUN), outcome_of(RUN)
        reasons = Counter(REASONS[(r["error"] or {}).get("kind") or r["status"]] for r in ratings if r["score"] is None)
        assert ended.code == 0, ended.err
        assert outcome.keys() == faultless.keys()
        assert all(faultless[each] == got for each, got in outcome.items() if got[0] == "scored")
        assert reasons == Counter(attempts[-1] for attempts in judge.dealt.values() if attempts[-1])
        assert sum(rating["attempts"] for rating in ratings) == len(judge.asked)
        assert_no_waste(judge)

    def test_the_mock_judge_bends_no_score_either(self, shared: Path) -> None:
        """The same against a server that is not ours."""
        script = shared / "tools" / "mock_judge.mjs"
        if not shutil.which("node") or not script.exists():
            pytest.skip("node or mock_judge.mjs is not here")
        dialogues = sized(30, 5000)
        with mock_judge(script, "") as url:
            perm(*order(dialogues, url))
        faultless = outcome_of(RUN)
        shutil.rmtree(RUN)

        with mock_judge(script, ",".join(f"{name}:{share}" for name, share in FAULTS.items())) as url:
            ended = perm(*order(dialogues, url, "--timeout", "1", "--min-coverage", "0.97"))
            with urlopen(url.replace("/v1", "/stats"), timeout=10) as answer:  # noqa: S310 - our own address
                stats = json.load(answer)

        outcome = outcome_of(RUN)
        assert ended.code == 0, ended.err
        assert outcome.keys() == faultless.keys()
        assert all(faultless[each] == got for each, got in outcome.items() if got[0] == "scored")
        assert {r["status"] for r in ratings_of(RUN)} <= {"scored", "failed", "unparseable", "truncated"}
        assert stats["distinct"] == 4 * dialogues
        assert stats["requests"] <= stats["distinct"] + sum(stats["faults"].values())


def assert_no_waste(judge: Judge) -> None:
    """Make sure that every request but the first for a rating followed one that went wrong."""
    wasted = [attempts for attempts in judge.dealt.values() if not all(attempts[:-1])]
    # On a busy machine a good answer may come later than the second that --timeout gives it.
    assert len(wasted) <= len(judge.dealt) // 100
    assert len(judge.asked) <= 1.25 * len(judge.dealt) / (1 - sum(judge.faults.values()))


@contextmanager
def mock_judge(script: Path, faults: str) -> Iterator[str]:
    """Run the mock judge for the time of the `with` block."""
    port = free_port()
    variables = {"PORT": str(port), "LATENCY_MS": "5", "FAULTS": faults}
    node = subprocess.Popen(
        ["node", script], env=environment(**variables), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert node.stderr
    try:
        assert b"mock judge on" in node.stderr.readline()
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        node.kill()
        node.communicate()


class TestKilled:
    """SIGKILL, which no program can prepare an answer to."""

    @pytest.mark.parametrize("part", range(1, sized(1, 2) + 1))  # each its share, so that two cores share them
    def test_at_any_moment_costs_at_most_what_was_in_flight(self, part: int) -> None:
        """Many crashes later, the ratings are those of a run that nothing disturbed, and each was made once."""
        dialogues, concurrency, kills = sized(100, 2000), 32, sized(4, 100)
        moments = dice(f"kills/{part}")
        with Judge(latency_s=0.04) as judge:
            command = order(dialogues, judge.url, "--concurrency", concurrency)
            undisturbed = perm(*command)
            expected = {rating["key"]: (rating["status"], rating["score"]) for rating in ratings_of(RUN)}
            shutil.rmtree(RUN)
            judge.asked.clear()
            for kill in range(kills):
                wanted = len(judge.asked) + moments.randint(1, 4 * dialogues // kills + concurrency)
                # The first comes while the folder is made, the last while results are written.
                others = {0: (RUN / "dialogues.jsonl").exists, kills - 1: (RUN / "rewards.jsonl").exists}
                with started(*command) as program:
                    program.until(others.get(kill, lambda wanted=wanted: len(judge.asked) >= wanted))
                    program.process.kill()
            ended = perm(*command)

        assert (undisturbed.code, ended.code) == (0, 0), ended.err
        assert {rating["key"]: (rating["status"], rating["score"]) for rating in ratings_of(RUN)} == expected
        assert_whole(RUN, 4 * dialogues)
        assert len(judge.asked) <= 4 * dialogues + kills * concurrency


class TestSignals:
    """A wish to stop."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
    def test_once_finishes_what_is_in_flight(self, number: signal.Signals) -> None:
        """Exit code 130, no reply thrown away, and the command that the last line names goes on."""
        with Judge(latency_s=0.2) as judge:
            with started(*order(10, judge.url, "--concurrency", "4")) as program:
                assert program.until(lambda: len(judge.asked) >= 6)
                program.process.send_signal(number)
                ended = program.ended()
            kept = len(ratings_of(RUN))
            asked = len(judge.asked)
            judge.latency_s = 0
            again = perm(*ended.way_on)

        assert ended.code == 130
        assert 6 <= kept == asked < 40
        assert (again.code, len(judge.asked)) == (0, 40)
        assert_whole(RUN, 40)

    def test_twice_does_not_wait(self) -> None:
        """What is in flight is dropped, and asked again by the next command."""
        with Judge() as judge:
            judge.answering = lambda body: slowing(judge, 5, body)
            with started(*order(10, judge.url, "--concurrency", "4")) as program:
                assert program.until(lambda: len(judge.asked) >= 9)
                program.process.send_signal(signal.SIGINT)
                assert program.until(lambda: "finishing the calls in flight" in program.err)
                program.process.send_signal(signal.SIGINT)
                ended = program.ended(QUICK_S)
            kept = len(ratings_of(RUN))
            judge.latency_s, judge.answering = 0, verdict
            again = perm(*ended.way_on)

        assert (ended.code, again.code) == (130, 0)
        assert kept >= 4
        assert len(judge.asked) <= 40 + 4
        assert_whole(RUN, 40)

    def test_does_not_wait_for_a_judge_that_asks_to_wait(self) -> None:
        """Who ends a job gives it seconds; what waits to be asked again has nothing to finish."""
        later = Answer(status=429, body=b"{}", headers={"Retry-After": "60"})
        with Judge() as judge:
            judge.answering = lambda body: later if len(judge.asked) > 8 else verdict(body)
            with started(*order(10, judge.url, "--concurrency", "4")) as program:
                assert program.until(lambda: len(judge.asked) >= 9)
                program.process.send_signal(signal.SIGTERM)
                ended = program.ended(QUICK_S)
            judge.answering = verdict
            again = perm(*ended.way_on)

        assert (ended.code, again.code) == (130, 0)
        assert_whole(RUN, 40)

    def test_before_the_first_call_is_a_line(self) -> None:
        """Input that takes long to read can be interrupted, too."""
        with Judge(latency_s=1) as judge, started(*order(10_000, judge.url)) as program:
            assert program.until(lambda: "native format" in program.err)
            program.process.send_signal(signal.SIGINT)
            ended = program.ended(QUICK_S)

        assert ended.code == 130
        assert "Traceback" not in ended.err
        assert re.search("interrupted|To resume", ended.err.splitlines()[-1])

    @pytest.mark.skipif(not shutil.which("setsid"), reason="no setsid here to give a process a terminal")
    def test_a_closed_terminal_loses_nothing(self) -> None:
        """The window is closed: SIGHUP comes, and nothing can be printed any more."""
        terminal, end = os.openpty()
        with Judge(latency_s=0.2) as judge:
            command = order(10, judge.url, "--concurrency", "4")
            process = subprocess.Popen(
                ["setsid", "--ctty", sys.executable, "-m", "perm_cli", *command],
                stdin=end,
                stdout=end,
                stderr=end,
                env=environment(TERM="xterm"),
            )
            os.close(end)
            while len(judge.asked) < 6 and process.poll() is None:
                os.read(terminal, 4096)
            os.close(terminal)
            code = process.wait(QUICK_S)
            kept, asked = len(ratings_of(RUN)), len(judge.asked)
            again = perm(*command)

        assert code == 130
        assert kept == asked < 40
        assert (again.code, len(judge.asked)) == (0, 40)


def slowing(judge: Judge, after: int, body: dict[str, Any]) -> Answer:
    """Answer, and from a number of requests on so late that nobody waits for it."""
    judge.latency_s = 60 if len(judge.asked) >= after else 0
    return verdict(body)


class TestDisk:
    """A folder that cannot be written any more."""

    def test_a_file_that_cannot_grow_stops_the_run(self) -> None:
        """A limit on the size of files cuts a rating in the middle of its line; all before it are kept."""
        with Judge(latency_s=0.05) as judge:
            command = order(40, judge.url, "--concurrency", "4")
            with started(*command) as program:
                assert program.until(lambda: len(lines_of(RUN)) >= 8)
                # More than any other file of the folder has, so that the ratings are the first to reach it.
                limit = max(path.stat().st_size for path in RUN.iterdir()) + 30_000
                resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
                ended = program.ended()
            kept, asked = ratings_of(RUN), len(judge.asked)
            again = perm(*command)

        assert ended.code == 1
        assert "ratings.jsonl" in ended.complaint
        assert asked - 4 <= len(kept) < asked < 160
        (lost,) = re.findall(r"(\d+) ratings? that (?:was|were) just made", ended.complaint)
        assert int(lost) == asked - len(kept)
        assert again.code == 0
        assert ratings_of(RUN)[: len(kept)] == kept
        assert len(judge.asked) == 160 + asked - len(kept)
        assert_whole(RUN, 160)

    def test_a_full_disk_stops_the_run(self) -> None:
        """The file system has no room left; with room again, the same command goes on."""
        if subprocess.run([*IN_A_NAMESPACE, "mount -t tmpfs none /mnt"], capture_output=True, check=False).returncode:
            pytest.skip("a small file system cannot be mounted here")
        script = (
            "mkdir disk kept && mount -t tmpfs -o size=160k none disk && "
            '{ "$@" 2>first.err; echo $? >first.code; cp disk/run/ratings.jsonl first.jsonl; '
            "mount -o remount,size=64m none disk; "
            '"$@" 2>second.err; echo $? >second.code; cp -r disk/run/. kept; }'
        )
        with Judge(latency_s=0.02) as judge:
            command = order(100, judge.url, "--concurrency", "4", "--out", "disk/run")
            perm_command = [sys.executable, "-m", "perm_cli", *command]
            subprocess.run(
                [*IN_A_NAMESPACE, script, "perm", *perm_command],
                env=environment(),
                timeout=60,
                check=True,
                stdout=subprocess.DEVNULL,
            )

        first, second = (
            Ended(int(Path(f"{name}.code").read_text()), "", Path(f"{name}.err").read_text())
            for name in ("first", "second")
        )
        kept = [line for line in Path("first.jsonl").read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        assert first.code == 1
        assert "disk/run" in first.complaint
        assert "No space left on device" in first.complaint or "disk full" in first.complaint
        assert kept
        assert second.code == 0, second.err
        assert lines_of(Path("kept"))[: len(kept)] == kept
        assert len(judge.asked) <= 400 + 4
        assert_whole(Path("kept"), 400)

    def test_rewards_that_cannot_be_written_leave_the_old_ones(self) -> None:
        """The file is named, and nothing is said of ratings that this command does not make."""
        path = written(Path("d.jsonl"), [row(place) for place in range(9)])
        perm("score", path, "--judge", "baseline", "--out", RUN)
        before = {path.name: path.read_bytes() for path in RUN.iterdir()}
        command = ["sh", "-c", f"ulimit -f 1; {sys.executable} -m perm_cli reward {RUN} --fusion mean"]

        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())

        assert done.returncode == 1
        assert done.stderr == f"perm: {RUN}/rewards.jsonl: File too large; the ratings on disk are kept\n"
        assert {path.name: path.read_bytes() for path in RUN.iterdir()} == before

    @pytest.mark.parametrize("place", [".", "run"])
    def test_a_folder_that_cannot_be_written_costs_no_call(self, place: str) -> None:
        """It is found out before anything is paid for."""
        with Judge() as judge:
            command = order(3, judge.url)
            RUN.mkdir(exist_ok=place == "run")
            if place == ".":
                RUN.rmdir()
            with read_only(Path(place)) as before:
                ended = perm(*command, before=before)
            asked = len(judge.asked)
            again = perm(*command)

        assert (ended.code, asked) == (1, 0)
        assert "run" in ended.complaint
        assert "Permission denied" in ended.complaint
        assert again.code == 0

    def test_ratings_that_cannot_be_written_cost_no_call(self) -> None:
        """The file of the ratings is tried before the first call, too."""
        with Judge() as judge:
            command = order(3, judge.url)
            RUN.mkdir()
            (RUN / "ratings.jsonl").touch()
            with read_only(RUN / "ratings.jsonl") as before:
                ended = perm(*command, before=before)
            asked = len(judge.asked)
            again = perm(*command)

        assert (ended.code, asked) == (1, 0)
        assert "run/ratings.jsonl: the run folder cannot be written: Permission denied" in ended.complaint
        assert again.code == 0

    def test_a_folder_made_read_only_keeps_what_is_rated(self) -> None:
        """The ratings file is open and goes on; the results cannot be written, which the last line says."""
        with Judge(latency_s=0.05) as judge:
            command = order(10, judge.url, "--concurrency", "4")
            with unprivileged() as before, started(*command, before=before) as program:
                assert program.until(lambda: len(lines_of(RUN)) >= 8)
                with read_only(RUN):
                    ended = program.ended()
            kept, asked = len(ratings_of(RUN)), len(judge.asked)
            again = perm(*command)

        assert ended.code == 1
        assert "run/" in ended.complaint
        assert "Permission denied" in ended.complaint
        assert kept == asked
        assert (again.code, len(judge.asked)) == (0, 40)
        assert_whole(RUN, 40)


IN_A_NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-c"]


@contextmanager
def unprivileged() -> Iterator[list[str]]:
    """Yield what starts a program whom permissions bind, which they do not if the tests run as root."""
    before = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if before and (not shutil.which("setpriv") or subprocess.run([*before, "true"], check=False).returncode):
        pytest.skip("the tests run as root, whom permissions do not bind, and setpriv cannot change that")
    yield before


@contextmanager
def read_only(path: Path) -> Iterator[list[str]]:
    """Take the right to write a folder or file away for the time of the `with` block."""
    mode = path.stat().st_mode
    with unprivileged() as before:
        path.chmod(mode & ~0o222)
        try:
            yield before
        finally:
            path.chmod(mode)


def swapped(pattern: bytes, other: bytes) -> Callable[[bytes], bytes]:
    """Return what puts something else in the place of a part of a line."""
    return lambda line: re.sub(pattern, other, line, count=1)


# What may stand in the place of a rating. Without an end, a line takes the next one with it.
DAMAGE: dict[str, list[Callable[[bytes], bytes]]] = {
    "no-json": [
        lambda line: dice("bytes").randbytes(len(line)).replace(b"\n", b"?") + b"\n",
        lambda line: line[: len(line) // 2] + b"\n",
        lambda line: b"\0" * (len(line) - 1) + b"\n",
        lambda _: b"\n",
    ],
    "no-end": [lambda line: line[: len(line) // 2], lambda line: b"\0" * len(line)],
    "no-rating": [
        lambda _: b"[1, 2]\n",
        lambda _: b'"rating"\n',
        lambda _: b"null\n",
        lambda _: b"7\n",
        lambda _: b"{}\n",
    ],
    "wrong-field": [
        swapped(b'"score":', b'"points":'),
        swapped(b'"key":"[^"]+",', b""),
        swapped(b'"key":("[^"]+")', rb'"key":[\1]'),
        swapped(b'"status":"scored"', b'"status":7'),
        swapped(b'"status":"scored"', b'"status":"perfect"'),
        swapped(b'"status":"scored"(.*)"error":null', rb'"status":"failed"\1"error":"lost"'),
        swapped(b'"score":[0-9.]+', b'"score":"high"'),
        swapped(b'"score":[0-9.]+', b'"score":null'),
        swapped(b'"tokens_in":[0-9]+', b'"tokens_in":"many"'),
    ],
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """Return one judge for all that is damaged, since its address is part of every key."""
    with Judge() as judge:
        yield judge


@pytest.fixture(scope="module")
def whole(judge: Judge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a whole run, not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    made = perm(*order(5, judge.url, folder=folder), cwd=folder)
    assert made.code == 0, made.err
    return folder / RUN


@pytest.fixture
def command(judge: Judge, whole: Path) -> list[str]:
    """Return the command that made the whole run, a copy of which is here, to be damaged."""
    shutil.copytree(whole, RUN)
    judge.asked.clear()
    return order(5, judge.url)


class TestDamage:
    """A run folder in which something was broken while nobody looked."""

    @pytest.mark.parametrize("kind", DAMAGE)
    def test_in_the_middle_costs_what_was_broken(self, judge: Judge, command: list[str], kind: str) -> None:
        """The lines are passed over and counted, and their ratings made again."""
        lines = lines_of(RUN)
        for place, broken in enumerate(DAMAGE[kind]):
            lines[2 * place + 1] = broken(lines[2 * place + 1])
        (RUN / "ratings.jsonl").write_bytes(b"".join(lines))

        ended = perm(*command)

        damaged = len(DAMAGE[kind])
        assert "Traceback" not in ended.err
        assert ended.code == 0, ended.err
        assert f"run/ratings.jsonl: {damaged} damaged line" in ended.err
        assert len(judge.asked) == (2 * damaged if kind == "no-end" else damaged)
        assert json.loads((RUN / "summary.json").read_text())["coverage"] == 1.0

    def test_at_the_end_costs_what_was_cut(self, judge: Judge, command: list[str]) -> None:
        """A line without an end is what a crash leaves; it is set aside, said, and made again."""
        path = RUN / "ratings.jsonl"
        path.write_bytes(path.read_bytes()[:-40])

        ended = perm(*command)

        assert (ended.code, len(judge.asked)) == (0, 1)
        assert "ratings.damaged" in ended.err
        assert_whole(RUN, 20)

    def test_of_the_dialogues_is_a_line(self, judge: Judge, command: list[str]) -> None:
        """The line names the file and its line; without the file, which comes from the input, nothing is lost."""
        path = RUN / "dialogues.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(lines[0] + b'{"id": "d1", "tur\n' + b"".join(lines[2:]))

        ended = perm(*command)
        path.unlink()
        again = perm(*command)

        assert (ended.code, again.code, len(judge.asked)) == (1, 0, 0)
        assert "run/dialogues.jsonl:2: " in ended.complaint

    def test_of_the_record_is_a_line(self, judge: Judge, command: list[str]) -> None:
        """Without its record a run's ratings have no settings, so a person has to look."""
        record = (RUN / "run.json").read_bytes()
        (RUN / "run.json").write_bytes(record[: len(record) // 2])

        ended = perm(*command)

        assert (ended.code, len(judge.asked)) == (1, 0)
        assert "run/run.json: " in ended.complaint


class TestClock:
    """A clock that cannot be trusted."""

    def test_set_back_changes_nothing(self, tmp_path: Path) -> None:
        """Time stamps go backwards, and the run ends as ever."""
        (tmp_path / "sitecustomize.py").write_text(BACKWARDS)
        path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
        with Judge(faults={"429": 0.2}) as judge:
            ended = perm(*order(10, judge.url), before=["env", f"PYTHONPATH={path}"])

        stamps = [rating["at"] for rating in ratings_of(RUN)]
        assert ended.code == 0, ended.err
        assert stamps == sorted(stamps, reverse=True)
        assert_whole(RUN, 40)


BACKWARDS = """\
import datetime, time

began, calls = time.time(), 0

def backwards():
    global calls
    calls += 1
    return began - 60.0 * calls

class Backwards(datetime.datetime):
    __slots__ = ()  # compiled modules look at the size

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(backwards(), tz)

time.time, datetime.datetime = backwards, Backwards
"""


class TestNetwork:
    """What stands between here and a judge."""

    def test_a_name_that_does_not_resolve_is_a_line(self) -> None:
        """It is seen within seconds."""
        ended = perm(*order(3, "http://no-such-host.invalid/v1"), within_s=QUICK_S)

        assert ended.code == 1
        assert "no-such-host.invalid" in ended.complaint

    @pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here to make a certificate")
    def test_a_certificate_that_does_not_verify_is_a_line(self, tmp_path: Path) -> None:
        """No request, and so no key, goes to a host that cannot prove its name."""
        certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
        request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
        made = ["openssl", *request.split(), "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(made, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        with Judge(tls=context) as judge:
            ended = perm(*order(3, judge.url, "--api-key-env", "JUDGE_KEY"), within_s=QUICK_S, JUDGE_KEY=KEY)

        assert (ended.code, judge.asked) == (1, [])
        assert f"{judge.url}: its certificate does not verify" in ended.complaint
        assert_secret(RUN, ended)

    def test_a_proxy_carries_what_goes_to_other_hosts(self) -> None:
        """The proxy is asked with the whole address, as proxies are."""
        with Judge() as proxy:
            address = proxy.url.removesuffix("/v1")
            ended = perm(*order(3, "http://judge.test/v1"), HTTP_PROXY=address)

        assert ended.code == 0, ended.err
        assert {each.target for each in proxy.asked} == {"http://judge.test/v1/chat/completions"}
        assert_whole(RUN, 12)

    def test_a_proxy_is_not_asked_for_this_machine(self) -> None:
        """A server here is reached from here."""
        with Judge() as judge, Judge() as proxy:
            ended = perm(*order(3, judge.url), HTTP_PROXY=proxy.url.removesuffix("/v1"))

        assert ended.code == 0, ended.err
        assert (len(judge.asked), proxy.asked) == (12, [])

    def test_a_dead_proxy_is_a_line(self) -> None:
        """The line names the judge that could not be reached and the proxy that is to blame."""
        port = free_port()

        ended = perm(*order(3, "http://judge.test/v1"), within_s=QUICK_S, HTTP_PROXY=f"http://127.0.0.1:{port}")

        assert ended.code == 1
        assert "http://judge.test/v1" in ended.complaint
        assert f"127.0.0.1:{port}" in ended.complaint

    def test_a_page_in_place_of_an_answer_is_a_line(self) -> None:
        """The address is probably that of a website; and a key it repeats is blotted out."""
        page = Answer(body=f"<html><title>Welcome, {KEY}</title></html>".encode())
        with Judge(answering=lambda _: page) as judge:
            command = order(3, judge.url, "--api-key-env", "JUDGE_KEY")
            ended = perm(*command, within_s=QUICK_S, JUDGE_KEY=KEY)
            asked = len(judge.asked)
            judge.answering = verdict
            again = perm(*command, JUDGE_KEY=KEY)

        assert (ended.code, again.code) == (1, 0)
        assert judge.url in ended.complaint
        assert "Welcome" in ended.complaint
        assert asked <= 3
        assert_secret(RUN, ended, again)

    def test_a_gateway_that_stumbles_loses_nothing(self) -> None:
        """Now and then a page with status 502, as while a server is replaced."""
        with Judge() as judge:
            judge.answering = lambda body: PAGE if len(judge.asked) % 5 == 0 else verdict(body)
            ended = perm(*order(10, judge.url))

        assert ended.code == 0, ended.err
        assert_whole(RUN, 40)

    def test_a_redirect_is_not_followed(self) -> None:
        """The other host gets no request, and so no dialogue and no key; the line names it."""
        with Judge() as other:
            away = Answer(status=307, body=b"", headers={"Location": f"{other.url}/chat/completions"})
            with Judge(answering=lambda _: away) as judge:
                command = order(3, judge.url, "--api-key-env", "JUDGE_KEY")
                ended = perm(*command, within_s=QUICK_S, JUDGE_KEY=KEY)

        assert (ended.code, len(judge.asked), other.asked) == (1, 1, [])
        assert f"127.0.0.1:{other.port}" in ended.complaint
        assert_secret(RUN, ended)

    def test_a_key_that_the_judge_repeats_is_kept_nowhere(self) -> None:
        """A broken router may put the request's headers into its answers; they go into no file."""
        with Judge() as judge:
            judge.answering = lambda body: Answer(text=verdict(body).text.replace("Names", f"Names {KEY}"))
            ended = perm(*order(3, judge.url, "--api-key-env", "JUDGE_KEY"), JUDGE_KEY=KEY)

        assert ended.code == 0, ended.err
        assert {each.headers["Authorization"] for each in judge.asked} == {f"Bearer {KEY}"}
        assert_secret(RUN, ended)
