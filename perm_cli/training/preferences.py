"""
Preference data: pairs of a better and a worse reply to the same prompt, and best-of-n rows.

A prompt is everything before the reply: scenario, persona and conversation. Replies of two systems are therefore
compared only up to the turn where their conversations diverge. With several judges the reward is their mean, and a pair
that they order differently is left out.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import combinations
from typing import Any

import orjson

from perm_cli.comparing.from_runs import REWARD
from perm_cli.comparing.table import Scores
from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.statistics.means import none_if_nan
from perm_cli.statistics.resampling import Floats
from perm_cli.training.policy import Messages, policy_answer, policy_messages
from perm_cli.words import PairFormat, PairStrategy, PolicyStyle

_SAME = 1e-9  # rewards of the same scores, fused in floating point, differ by less


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One reply to a prompt, with its system and its reward from each judge, NaN where that is missing."""

    dialogue_id: str
    system: str
    turn: int
    reply: Turn
    rewards: Floats

    @property
    def reward(self) -> float | None:
        """Return the mean over the judges, None unless all gave one."""
        return none_if_nan(float(self.rewards.mean()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What several candidate replies answer: scenario, persona and the turns before them."""

    id: str
    scenario: str
    persona: str
    turns: Sequence[Turn]
    candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two replies to one prompt; `margin` is the difference of their rewards, above 0."""

    prompt: Prompt
    chosen: Candidate
    rejected: Candidate
    margin: float


@dataclass(slots=True)
class Count:
    """The number of prompts and pairs, and of what was left out, by reason."""

    prompts: int = 0
    pairs: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def prompts_of(scores: Scores, dialogues: Iterable[Dialogue]) -> list[Prompt]:
    """Return the prompts with their rated replies, in the order of the dialogues."""
    rewards = dict(zip(scores.items, scores.of(REWARD, scores.judges), strict=True))
    found: dict[bytes, tuple[Dialogue, int, list[Candidate]]] = {}
    latest = {(each.id, each.system): each for each in dialogues}  # the last version of an edited dialogue
    for dialogue in latest.values():
        for turn, reply in enumerate(dialogue.turns, 1):
            place = (dialogue.id, dialogue.system, turn)
            if reply.role != "supporter" or place not in rewards:
                continue
            before = [[each.role, each.text] for each in dialogue.turns[: turn - 1]]
            key = blake2b(orjson.dumps([dialogue.scenario, dialogue.persona, before]), digest_size=16).digest()
            own = found.setdefault(key, (dialogue, turn, []))[2]
            own.append(
                Candidate(
                    dialogue_id=dialogue.id, system=dialogue.system, turn=turn, reply=reply, rewards=rewards[place]
                )
            )
    return [
        Prompt(
            id=f"{dialogue.id}:{turn}",
            scenario=dialogue.scenario,
            persona=dialogue.persona,
            turns=dialogue.turns[: turn - 1],
            candidates=candidates,
        )
        for dialogue, turn, candidates in found.values()
    ]


def pairs_of(
    prompts: Iterable[Prompt], strategy: PairStrategy, min_gap: float, style: PolicyStyle, count: Count
) -> Iterator[Pair]:
    """
    Yield pairs whose rewards differ by at least `min_gap`.

    The strategy `best-worst` gives one pair per prompt, `all` every pair. What is left out is added to `count` by its
    reason. Replies with the same text in this style count as one.
    """
    for prompt in prompts:
        rated = _different([each for each in prompt.candidates if each.reward is not None], style)
        count.prompts += 1
        count.left_out["replies without a reward"] += sum(each.reward is None for each in prompt.candidates)
        if len(rated) < 2:  # noqa: PLR2004 - nothing to prefer
            count.left_out["prompts with one reply"] += 1
            continue
        ordered = sorted(rated, key=lambda each: -(each.reward or 0.0))
        chosen = [(ordered[0], ordered[-1])] if strategy == "best-worst" else list(combinations(ordered, 2))
        for better, worse in chosen:
            reason = _reason(better, worse, min_gap)
            if reason:
                count.left_out[reason] += 1
                continue
            count.pairs += 1
            yield Pair(prompt=prompt, chosen=better, rejected=worse, margin=_margin(better, worse))


def best_of(prompts: Iterable[Prompt], count: Count) -> Iterator[tuple[Prompt, Candidate | None, int]]:
    """Yield each prompt with its best reply, None if no reply has a reward, and the number of replies as good."""
    for prompt in prompts:
        rated = [each for each in prompt.candidates if each.reward is not None]
        count.prompts += 1
        count.left_out["replies without a reward"] += len(prompt.candidates) - len(rated)
        best = max(rated, key=lambda each: each.reward or 0.0, default=None)
        yield prompt, best, sum(_margin(best, each) < _SAME for each in rated) if best else 0


def _different(candidates: Sequence[Candidate], style: PolicyStyle) -> list[Candidate]:
    """Return the first candidate of each text: of two equal replies, neither can be better."""
    return list({policy_answer(each.reply, style): each for each in reversed(candidates)}.values())


def _reason(better: Candidate, worse: Candidate, min_gap: float) -> str | None:
    margin = _margin(better, worse)
    if margin < _SAME:
        return "ties"
    if ((better.rewards - worse.rewards) < -_SAME).any():
        return "pairs that judges order differently"
    return "pairs below --min-gap" if margin < min_gap - _SAME else None


def _margin(better: Candidate, worse: Candidate) -> float:
    return float(better.rewards.mean() - worse.rewards.mean())


# --- rows for trainers ---

_Row = dict[str, Any]


def pair_rows(pair: Pair, form: PairFormat, style: PolicyStyle) -> Iterator[_Row]:
    """Yield a pair as rows for a trainer: one row, or for KTO one per reply."""
    prompt = policy_messages(pair.prompt.turns, pair.prompt.scenario, pair.prompt.persona, style)
    chosen, rejected = (policy_answer(each.reply, style) for each in (pair.chosen, pair.rejected))
    about = {"prompt_id": pair.prompt.id, "margin": pair.margin}
    about |= {"score_chosen": pair.chosen.reward, "score_rejected": pair.rejected.reward}
    yield from _FORMS[form](prompt, chosen, rejected, about)


def _said(text: str) -> Messages:
    return [{"role": "assistant", "content": text}]


def _trl(prompt: Messages, chosen: str, rejected: str, about: _Row) -> list[_Row]:
    return [{"prompt": prompt, "chosen": _said(chosen), "rejected": _said(rejected), **about}]


def _trl_implicit(prompt: Messages, chosen: str, rejected: str, about: _Row) -> list[_Row]:
    return [{"chosen": [*prompt, *_said(chosen)], "rejected": [*prompt, *_said(rejected)], **about}]


def _kto(prompt: Messages, chosen: str, rejected: str, about: _Row) -> list[_Row]:
    replies = ((chosen, True, about["score_chosen"]), (rejected, False, about["score_rejected"]))
    return [
        {"prompt": prompt, "completion": _said(text), "label": label, "prompt_id": about["prompt_id"], "score": score}
        for text, label, score in replies
    ]


def _swift(prompt: Messages, chosen: str, rejected: str, about: _Row) -> list[_Row]:
    return [{"messages": [*prompt, *_said(chosen)], "rejected_response": rejected, **about}]


def _llamafactory(prompt: Messages, chosen: str, rejected: str, about: _Row) -> list[_Row]:
    names = {"user": "human", "assistant": "gpt"}
    system, *talk = prompt
    conversations = [{"from": names[each["role"]], "value": each["content"]} for each in talk]
    replies = {"chosen": {"from": "gpt", "value": chosen}, "rejected": {"from": "gpt", "value": rejected}}
    return [{"conversations": conversations, "system": system["content"], **replies, **about}]


def _openai(prompt: Messages, chosen: str, rejected: str, _: _Row) -> list[_Row]:
    return [{"input": {"messages": prompt}, "preferred_output": _said(chosen), "non_preferred_output": _said(rejected)}]


_FORMS: Mapping[PairFormat, Callable[[Messages, str, str, _Row], list[_Row]]] = {
    "trl": _trl,
    "trl-implicit": _trl_implicit,
    "kto": _kto,
    "openrlhf": _trl_implicit,  # whole conversations, for --data.chosen_key chosen --data.apply_chat_template
    "swift": _swift,
    "llamafactory": _llamafactory,
    "openai": _openai,
}


def best_row(prompt: Prompt, best: Candidate | None, tied: int, style: PolicyStyle) -> _Row:
    """Return a row with a prompt, all its replies and rewards, and the index of the best; `tied` are as good."""
    return {
        "prompt_id": prompt.id,
        "prompt": policy_messages(prompt.turns, prompt.scenario, prompt.persona, style),
        "completions": [policy_answer(each.reply, style) for each in prompt.candidates],
        "systems": [each.system for each in prompt.candidates],
        "scores": [each.reward for each in prompt.candidates],
        "best": prompt.candidates.index(best) if best else None,
        "tied": tied,
        "n": len(prompt.candidates),
    }
