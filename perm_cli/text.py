"""Text from outside: escape what a terminal or a log would obey; separate what a model said from its thinking."""

import re
from collections.abc import Mapping

# Control characters (escape sequences start with one), invisible and direction-changing characters,
# and everything that a terminal or a pager treats as a line break.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
# What a text or XML file cannot hold, or a pager obeys; line feeds and tabs stay.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def one_line(text: str, limit: int = 200) -> str:
    """Return `text` on one line of at most `limit` characters, with unsafe characters escaped."""
    shown = _UNSAFE.sub(_spelled, text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def harmless(text: str) -> str:
    """Return `text` with its line breaks kept and unsafe characters escaped."""
    return "\n".join(_UNSAFE.sub(_spelled, line) for line in text.split("\n"))


def without_controls(text: str) -> str:
    """Return `text` with its line breaks kept and U+FFFD in place of every control character."""
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n"))


def _spelled(match: re.Match[str]) -> str:
    character = match.group()
    return " " if character in "\t\n\r" else f"\\u{ord(character):04x}"


_TAG = r"(?:\w{1,20}[:_|])?(?:think(?:ing)?|thought|reasoning)(?:[:_]\w{1,40})?\s*"
# Where thinking begins and where it ends, in every form that an open model or a common recipe writes.
_MARKS: Mapping[str, tuple[str, str]] = {
    # <think>: DeepSeek, Qwen, GLM, Kimi K2, MiniMax M2, Olmo, Nemotron and most others; <thought>: EXAONE Deep;
    # <seed:think>: Seed-OSS; <mm:think>: MiniMax M3; <longcat_think>: LongCat; <ifm|think_fast>: K2;
    # <think:…>: Hunyuan; <reasoning>: recipes for GRPO.
    "tag": (rf"<{_TAG}>", rf"</{_TAG}>"),
    "mistral": (r"(?-i:\[THINK\])", r"(?-i:\[/THINK\])"),  # Magistral, Mistral Small 4, Ministral 3
    "kimi": ("◁think▷", "◁/think▷"),  # Kimi-VL, Kimi 1.5
    "kimi_k3": (r"<\|open\|>think<\|sep\|>", r"<\|close\|>think<\|sep\|>|<\|open\|>response<\|sep\|>"),
    "openthinker": (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # OpenThinker, Sky-T1
    "cohere": (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command A Reasoning
    "apertus": (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    "solar": (r"<\|think(?::start)?\|>", r"<\|think:end\|>|<\|content\|>"),  # Solar Open 1 and 2
    "gemma": (r"<\|channel>|<unused94>", r"<channel\|>|<unused95>"),  # Gemma 4; MedGemma
    "pangu": (r"\[unused16\]", r"\[unused17\]"),  # openPangu
    "inkling": (r"<\|content_thinking\|>", r"<\|content_text\|>"),
    # Harmony, of gpt-oss: whatever goes to another channel than `final` is not for the user.
    "harmony": (
        r"<\|channel\|>(?!\s*final)",
        r"<\|channel\|>\s*final[^<]{0,40}(?:<\|constrain\|>[^<]{0,20})?<\|message\|>",
    ),
}  # fmt: skip
# These marks are ordinary words, so an end mark counts only after its beginning. The first is Harmony decoded without
# its special tokens, as trainers do.
_WORDS: Mapping[str, tuple[str, str]] = {
    "harmony_bare": (r"(?-i:\Aanalysis(?=[^\Wa-z\d_]))", r"(?-i:assistantfinal)"),
    "granite": (r"\A\s*Here(?: is|['’]s) my thought process:", r"Here(?: is|['’]s) my response:"),  # Granite 3
    "hyperclova": (r"\A\s*/think\n", r"<\|im_start\|>assistant"),  # HyperCLOVA X SEED Think
    "muse": (r"to=self<\|message\|>", r"to=user<\|message\|>"),  # MuseGlimmer
}  # fmt: skip


def _any_of(marks: Mapping[str, tuple[str, str]]) -> str:
    return "|".join(f"(?P<open_{name}>{opens})|(?P<end_{name}>{ends})" for name, (opens, ends) in marks.items())


# Marks are tried only where one can begin: trying them all at every character of a long reply takes seconds.
_MAYBE = re.compile(r"[<\[◁]|\A\s*(?:analysis|here|/think)", re.IGNORECASE)
_MARK = re.compile(rf"(?=[<\[◁])(?:{_any_of(_MARKS)})|{_any_of(_WORDS)}", re.IGNORECASE)
# Tokens and tags that frame the answer in the same formats and are not part of it.
_FRAME = re.compile(
    r"<\|(?:start\|>assistant|(?:begin|end)_of_(?:solution|box)\||(?:START|END)_(?:RESPONSE|TEXT)\|"
    r"|(?:open|close)\|>(?:response|message)<\|sep\||message_model\||end_message\||content_model_end_sampling\|"
    r"|end\||return\||eom\||eot\||im_end\|)>"
    r"|\A\s*<(?:answer|response|output)>|</(?:answer|response|output)>\s*\Z",
    re.IGNORECASE,
)
_LABEL = re.compile(r"(?:thought|analysis<\|message\|>)\Z")  # follows the mark of Gemma and of Harmony
_LONGEST = 120  # characters: a mark, the label after it and white space


def without_thinking(text: str, filler: str = "", *, opened: bool = False) -> str | None:
    """
    Return the text outside of thinking, every other character replaced by `filler`; None if the thinking never ends.

    `opened` means that the model's chat template has already begun the thinking. For the same reason, an end mark
    without a beginning makes everything before it thinking.
    """
    parts: list[str] = []
    resumed = 0
    opened_at: int | None = 0 if opened else None
    form = ""
    for mark in _MARK.finditer(text) if opened or _MAYBE.search(text) else ():
        side, _, name = (mark.lastgroup or "").partition("_")
        if side == "open":  # nested marks are part of the thinking that the first one opened
            opened_at, form = (mark.start(), name) if opened_at is None else (opened_at, form)
            continue
        if opened_at is None:
            if name in _WORDS:
                continue
            parts = [filler * mark.end()]
        elif form in {"", name}:
            parts += [text[resumed:opened_at], filler * (mark.end() - opened_at)]
        else:
            continue
        resumed, opened_at = mark.end(), None
    if opened_at is not None:
        return None
    return _FRAME.sub(lambda frame: filler * len(frame.group()), "".join([*parts, text[resumed:]]))


def begins_thinking(prompt: str) -> bool:
    """Return whether a prompt ends with a mark that opens the model's thinking, as with many chat templates."""
    end = _LABEL.sub("", prompt[-_LONGEST:].rstrip())
    return any(mark.end() == len(end) for mark in _MARK.finditer(end) if (mark.lastgroup or "").startswith("open"))


def closes_unopened_thinking(text: str) -> bool:
    """Return whether a text closes thinking that it has not opened."""
    sides = ((mark.lastgroup or "").partition("_") for mark in _MARK.finditer(text))
    return bool(_MAYBE.search(text)) and next((side == "end" for side, _, name in sides if name not in _WORDS), False)
