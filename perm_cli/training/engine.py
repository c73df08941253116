"""
The engine: one judge in a thread of its own, asked by whoever needs a reward.

A trainer calls from many threads, from an event loop that lives for one step, or from a child it has forked; clients
and limits belong to one event loop. So the loop is the engine's own, and callers hand their items over. There is one
engine in a process for the same settings, however often these were pickled, and a child that was forked starts afresh.
"""

import asyncio
import atexit
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.util import Finalize
from time import monotonic

import orjson

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.tokens import completion_text, token_counter
from perm_cli.errors import JudgeUnusable, NotAsked, PermError, SettingsError
from perm_cli.judges.budget import Budget, BudgetReached, read_budget
from perm_cli.judges.route import OpenJudge
from perm_cli.judges.routes import caveat_of, default_concurrency, identity_of, open_judge, route_of
from perm_cli.prompts.book import Question
from perm_cli.ratings.rating import Call, Rating, RatingRules, is_settled, key_of, rate
from perm_cli.rewards.formula import Recipe, formula_of
from perm_cli.rewards.reward import Lengths, Reward, rewards_of, unrated
from perm_cli.scoring.job import book_for, settings_id
from perm_cli.scoring.trials import FirstAlone, check_chances
from perm_cli.text import one_line
from perm_cli.training.folders import Keeper, check_place, keeping
from perm_cli.training.items import Item, Result, dialogue_of
from perm_cli.training.settings import POLICY_TOKENS, RewardSettings, in_settings
from perm_cli.training.stand_ins import Memory
from perm_cli.training.watching import Watch

_log = logging.getLogger("perm_cli.reward")
_REMEMBERED = 10_000  # ratings
_AT_A_TIME = 32  # questions
_RESTS_S = 30.0  # after no call could succeed; a server is asked on and on
_ENDING_S = 5.0


class Engine:
    """Judge items in a thread that the first of them starts; raise `SettingsError` or `AssetError` if it cannot."""

    def __init__(self, settings: RewardSettings) -> None:
        self.settings = settings
        self.memory = Memory()
        self.caveat = caveat_of(settings.judge)
        self._book = book_for(settings.judge, settings.rubrics, settings.prompts)
        self.formula = formula_of(self._book.pack, settings.recipe)
        self.watch = Watch(self.formula)
        self._identity = orjson.dumps(identity_of(settings.judge), option=orjson.OPT_SORT_KEYS)
        self.id = settings_id(self._identity, self._book)
        self._rules = RatingRules(
            settings=self.id,
            judge=settings.judge.name,
            max_tokens=settings.judge.max_tokens,
            expected=settings.judge.logprobs,
            reask=settings.reask,
            seeded=settings.samples > 1,
        )
        self._count = _counter(settings.recipe)
        self._known: OrderedDict[str, Rating] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Rating]] = {}
        self._unusable: tuple[float, str] | None = None
        limit = read_budget(settings.budget) if settings.budget else None
        self._budget = Budget(*limit) if limit else None
        self._stack, self._judging = AsyncExitStack(), AsyncExitStack()
        self._judge: OpenJudge | None = None
        self._keeper: Keeper | None = None
        self._loop = _new_loop()
        self._opening, self._first = asyncio.Lock(), FirstAlone()
        self._room = asyncio.Semaphore(default_concurrency(settings.judge))
        self._scoring: set[asyncio.Task[object]] = set()
        self._guard, self._ended = threading.Lock(), False
        if self.caveat:
            _log.warning("%s", self.caveat)
        self._thread = threading.Thread(target=self._loop.run_forever, name="perm-reward", daemon=True)
        self._thread.start()

    def submit(
        self, items: Sequence[Item], step: int | None, within_s: float | None, *, watched: bool
    ) -> "Future[Sequence[Result]]":
        """Hand items over from any thread; raise `JudgeUnusable` if the engine was ended."""
        with self._guard:  # what is handed over before the end is answered, and nothing is afterwards
            self._check_not_ended()
            return asyncio.run_coroutine_threadsafe(self._score(items, step, within_s, watched=watched), self._loop)

    def end(self) -> None:
        """Let nothing more be asked, answer whoever waits, close the judge and wait for the thread."""
        with self._guard:
            self._ended = True
        try:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(2 * _ENDING_S)
        except (TimeoutError, OSError) as error:
            _log.warning("the judge did not end in order: %s", str(error) or f"not within {2 * _ENDING_S:g} s")
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_ENDING_S)
        if not self._thread.is_alive():
            self._loop.close()

    def _check_not_ended(self) -> None:
        if self._ended:
            raise JudgeUnusable("the judge was closed")

    # --- in the thread ---

    async def _score(
        self, items: Sequence[Item], step: int | None, within_s: float | None, *, watched: bool
    ) -> Sequence[Result]:
        self._check_tokens(items)
        started = monotonic()
        with self._noted():
            judge = await self._opened()
            self._check_not_ended()
            dialogues = [dialogue_of(item) for item in items]
            tasks: list[list[tuple[str, asyncio.Task[Rating]]]] = [[] for _ in items]
            for number, (place, dialogue, question) in enumerate(self._questions(dialogues)):
                tasks[place] += ((question.dimension.name, task) for task in self._asked(question, dialogue, judge))
                if number % _AT_A_TIME == 0:
                    await asyncio.sleep(0)  # the first are sent while the last are worked out
            asked = {task for own in tasks for _, task in own}
            if asked:  # whose end is not this caller's: others may wait for the same rating
                await asyncio.wait(asked, timeout=within_s, return_when=asyncio.FIRST_EXCEPTION)
            for task in filter(asyncio.Task.done, asked):
                _raise_own(task.exception())
            results = [
                self._result(item, dialogue, _ratings_in_time(own)) if dialogue else self._empty(item)
                for item, dialogue, own in zip(items, dialogues, tasks, strict=True)
            ]
            results = [replace(each, waited_s=monotonic() - started) for each in results]
            if watched:
                self.watch.note(items, results, step)
            return results

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Have whoever ends the engine wait for what goes on in the `with` block."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a task is what runs here
        self._scoring.add(task)
        try:
            yield
        finally:
            self._scoring.discard(task)

    def _questions(self, dialogues: Sequence[Dialogue | None]) -> Iterable[tuple[int, Dialogue, Question]]:
        """Return what to ask, each with its dialogue and the place of that."""
        questions = (
            (place, dialogue, question)
            for place, dialogue in enumerate(dialogues)
            if dialogue
            for question in self._book.questions(dialogue, "last")
        )
        if route_of(self.settings.judge).by_dimension:
            return sorted(questions, key=lambda asked: asked[2].dimension.name)
        return questions

    def _result(self, item: Item, dialogue: Dialogue, ratings: Sequence[Rating]) -> Result:
        lengths = self._lengths(item, completion_text(dialogue.turns[-1]))
        caveats = {self.id: self.caveat} if self.caveat else None
        packs = {self.id: self._book.pack}
        rated = rewards_of(ratings, self.settings.recipe, lengths, caveats, packs)
        parts = next(rated, None) or self.unrated(lengths)
        rationales = {rating.dimension: rating.rationale for rating in reversed(ratings) if rating.rationale}
        return Result(
            reward=parts.reward,
            parts=parts,
            rationales=rationales,
            causes={rating.dimension: cause for rating in ratings if (cause := _cause(rating))},
            latency_s=max((rating.latency_s for rating in ratings), default=0.0),
            retries=sum(max(rating.attempts - 1, 0) for rating in ratings),
        )

    def _empty(self, item: Item) -> Result:
        parts = self.unrated(self._lengths(item, item.reply))
        return Result(reward=parts.reward_low, parts=parts, rationales={}, empty=True)

    def unrated(self, lengths: Lengths | None = None) -> Reward:
        """Return what is known of a reply that was not judged."""
        judge, recipe = self.settings.judge.name, self.settings.recipe
        return unrated(judge, self.id, recipe, lengths, self.caveat, self._book.pack)

    def _lengths(self, item: Item, written: str) -> Lengths | None:
        if not self.settings.recipe.length_penalty:
            return None
        return lambda *_: self._tokens(item, written)

    def _tokens(self, item: Item, written: str) -> int:
        return item.tokens or 0 if self._count is None else self._count(written)

    def _check_tokens(self, items: Sequence[Item]) -> None:
        recipe = self.settings.recipe
        if recipe.length_penalty and self._count is None and any(item.tokens is None for item in items):
            raise SettingsError(f"tokenizer: {POLICY_TOKENS} found, expected a trainer that counts the policy's tokens")

    def _asked(self, question: Question, dialogue: Dialogue, judge: OpenJudge) -> "list[asyncio.Task[Rating]]":
        """Return the tasks that have the ratings, or will have; what is known or being asked is not asked again."""
        tasks = []
        for sample in range(self.settings.samples):
            call = Call(question=question, sample=sample, key=key_of(question, self._identity, sample))
            if call.key not in self._asking:
                task = self._asking[call.key] = self._loop.create_task(
                    self._rating(call, dialogue, judge), name=call.key
                )
                task.add_done_callback(self._answered)
            tasks.append(self._asking[call.key])
        return tasks

    def _answered(self, task: "asyncio.Task[Rating]") -> None:
        del self._asking[task.get_name()]
        if not task.cancelled():
            task.exception()  # seen, even if whoever asked has gone

    async def _rating(self, call: Call, dialogue: Dialogue, judge: OpenJudge) -> Rating:
        if known := self._recalled(call.key):
            # It costs nothing again; and it may have been made in another run, under another name or with other rubrics
            # for the other dimensions, which its key does not depend on.
            name = self.settings.judge.name
            return replace(known, settings=self.id, judge=name, latency_s=0.0, attempts=0)
        async with self._room:  # what must wait is not rendered yet
            rating = await self._first.made(partial(self._made, call, judge))
        if self._keeper:
            self._keeper.append(rating, dialogue)
        elif is_settled(rating.status, rating.error):
            self._known[call.key] = rating
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return rating

    def _recalled(self, key: str) -> Rating | None:
        if self._keeper:
            return self._keeper.known(key)
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    async def _made(self, call: Call, judge: OpenJudge) -> Rating:
        if self._unusable and monotonic() < self._unusable[0]:
            raise JudgeUnusable(self._unusable[1])
        try:
            rating = await rate(judge, call, self._book.prompt(call.question), self._rules)
            if not self._first.is_made:
                check_chances(rating, self._rules)
        except BudgetReached as reached:
            raise self._rest(JudgeUnusable(f"{reached}; training goes on with a larger one")) from reached
        except JudgeUnusable as error:
            raise self._rest(error) from error
        except NotAsked as reason:
            raise JudgeUnusable(f"the judge was closed: {reason}") from reason
        return rating

    def _rest(self, error: JudgeUnusable) -> JudgeUnusable:
        error = JudgeUnusable(in_settings(str(error)))
        self._first.again()
        self._unusable = (monotonic() + _RESTS_S, str(error))
        return error

    async def _opened(self) -> OpenJudge:
        async with self._opening:
            if self._unusable and monotonic() >= self._unusable[0] and not self._asking:
                self._unusable = self._judge = None  # it may have ended for good: another one asks anew
                await self._judging.aclose()
            if self._judge is None:
                opening = open_judge(self.settings.judge, self._budget, on_outage=_log.warning)
                self._judge = await self._judging.enter_async_context(opening)
            if self._keeper is None and self.settings.run:
                self._keeper = self._stack.enter_context(keeping(self.settings.run, self.settings, self._book, self.id))
                self.watch.keep = self._keeper.note
            return self._judge

    async def _close(self) -> None:
        if self._judge:
            self._judge.stop(NotAsked("its engine was closed"))
        if tasks := self._scoring.union(self._asking.values()):
            _, late = await asyncio.wait(tasks, timeout=_ENDING_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self.watch.tell()
        await self._judging.aclose()
        await self._stack.aclose()


def _cause(rating: Rating) -> str:
    """Return why a rating has no score, as far as it says so."""
    if rating.score is not None:
        return ""
    return one_line(str((rating.error or {}).get("message") or rating.note))


def _raise_own(error: BaseException | None) -> None:
    """Raise what kept a rating from being made, to each caller as its own: one that is shared grows with each."""
    if isinstance(error, PermError):
        raise type(error)(str(error))
    if error:
        raise error


def _ratings_in_time(tasks: Sequence[tuple[str, "asyncio.Task[Rating]"]]) -> list[Rating]:
    """Return the ratings of the dimensions that have all of theirs: some of several samples are not what was asked."""
    late = {name for name, task in tasks if not task.done()}
    return [task.result() for name, task in tasks if name not in late]


# --- one engine for the same settings in a process ---


class _Engines:
    """Hold the engines of this process."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.by_settings: dict[bytes, Engine] = {}


_here = _Engines()
_inherited: list[_Engines] = []  # kept alive, since closing a parent's connections is not a child's business


def engine_of(settings: RewardSettings) -> Engine:
    """Return the engine for these settings, which is started if need be."""
    key = settings.digest()
    with _here.guard:
        if key not in _here.by_settings:
            _here.by_settings[key] = Engine(settings)
        return _here.by_settings[key]


def close_engine(settings: RewardSettings) -> None:
    """End the engine for these settings, if there is one."""
    with _here.guard:
        engine = _here.by_settings.pop(settings.digest(), None)
    if engine:
        engine.end()


@atexit.register
def _close_all() -> None:
    for engine in list(_here.by_settings.values()):
        engine.end()


def _forget() -> None:
    global _here  # noqa: PLW0603 - one for each process
    _inherited.append(_here)
    _here = _Engines()
    Finalize(None, _close_all, exitpriority=10)  # a child of multiprocessing ends without atexit


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def check_settings(settings: RewardSettings) -> None:
    """Raise `SettingsError`, `AssetError` or `RunError` for what an engine would find out at the first reward."""
    pack = book_for(settings.judge, settings.rubrics, settings.prompts).pack
    try:
        formula_of(pack, settings.recipe)
        _counter(settings.recipe)
    except SettingsError as error:
        raise SettingsError(in_settings(str(error))) from error
    if settings.run:
        check_place(settings.run)


def _counter(recipe: Recipe) -> Callable[[str], int] | None:
    """Return what counts tokens, None where nothing or the trainer does."""
    if not recipe.length_penalty or recipe.tokenizer == POLICY_TOKENS:
        return None
    return token_counter(recipe.tokenizer)
