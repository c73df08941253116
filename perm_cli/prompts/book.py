"""
Prompts: what a judge is sent about one dimension of one supporter turn.

A template is a Jinja2 file with two macros. `instructions(rubric, answer)` gets no dialogue, so its text is the
same for every call of a dimension and prompt caches serve it. `case(view)` gets what the dimension's
perspective may see, every text already fenced, and nothing else. So no template, whoever wrote it, can reveal
what a perspective must not see or leave a fence out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, Literal

from jinja2 import (
    BytecodeCache,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    meta,
)
from jinja2.bccache import Bucket
from jinja2.sandbox import ImmutableSandboxedEnvironment

from perm_cli.dialogues.dialogue import Dialogue, Turn, judged_turns
from perm_cli.errors import AssetError
from perm_cli.prompts.fences import Fence, fenced
from perm_cli.prompts.rubrics import ContextPart, Dimension, Pack, load_rubrics, templates_of
from perm_cli.words import Turns

AnswerForm = Literal["json", "lines"]
"""How the judge is asked to write its verdict: as a JSON object, or as named lines if it cannot write JSON."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt: `instructions` are the same for a whole dimension, `case` is about one dialogue."""

    instructions: str
    case: str


@dataclass(frozen=True, slots=True)
class View:
    """A dialogue up to the judged supporter turn as fenced texts; a part of its `context` that it lacks is None."""

    turns: Sequence[Fence]
    judged: int
    context: Mapping[ContextPart, Fence | None]

    def seen_by(self, dimension: Dimension) -> dict[str, Any]:
        """Return the fenced texts that `dimension` may see; any other name is undefined in its template."""
        seen: dict[str, Any] = {name: fence.block if (fence := self.context[name]) else None for name in dimension.sees}
        return seen | {"turns": tuple(fence.block for fence in self.turns), "judged": self.judged}

    def digest_for(self, dimension: Dimension) -> bytes:
        """Return a hash over what `dimension` sees."""
        seen = [fence.digest if (fence := self.context[name]) else b"" for name in sorted(dimension.sees)]
        # The digest of the last turn covers those before it, since each fence's digest includes the one before.
        return b"\x00".join((self.turns[-1].digest, self.judged.to_bytes(4), *seen))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """
    What one dimension asks about one supporter turn; `turn` is its position in the dialogue, from 1.

    `digest` is a hash over everything that the rendered prompt depends on: equal digests mean equal prompts. It
    is computed without rendering, so a resumed run renders only the prompts that it still has to send.
    """

    dialogue_id: str
    system: str
    turn: int
    dimension: Dimension
    view: View
    digest: bytes


def open_book(rubrics: Path, prompts: Path | None = None, answer: AnswerForm = "json") -> "PromptBook":
    """Return the prompts of the pack in folder `rubrics`, made from the templates in `prompts` or the pack's own."""
    pack = load_rubrics(rubrics)
    return PromptBook(pack, prompts or templates_of(pack, rubrics), answer)


class _Compiled(BytecodeCache):
    """A cache of compiled templates by file and text, so that a process with several books compiles each once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Set the code of a template, if it is cached."""
        bucket.code = self._known.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Cache the code of a template."""
        if bucket.code:
            self._known[bucket.key, bucket.checksum] = bucket.code


_COMPILED = _Compiled()


@cache
def _referenced(text: str) -> tuple[str, ...]:
    """Return the names of the templates that a template imports, includes or extends."""
    syntax = Environment(autoescape=True).parse(text)
    return tuple(filter(None, meta.find_referenced_templates(syntax)))


class PromptBook:
    """
    A renderer of prompts from a rubric pack and a folder of templates.

    Every template is compiled and rendered on two sample dialogues first, so that a broken one is found before any
    call is made; `AssetError` names the file, the line and the reason.
    """

    def __init__(self, pack: Pack, folder: Path, answer: AnswerForm = "json") -> None:
        self._environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            autoescape=False,
            keep_trailing_newline=True,
            bytecode_cache=_COMPILED,
        )
        self.templates: dict[str, str] = {}
        self.pack = pack
        self.folder = folder
        self.answer = answer
        self._modules = {name: self._module(dimension) for name, dimension in pack.dimensions.items()}
        self.instructions: Mapping[str, str] = {
            name: self._instructions(dimension, answer) for name, dimension in pack.dimensions.items()
        }
        self._try_out()
        self._digests = {name: self._digest(dimension) for name, dimension in pack.dimensions.items()}

    @property
    def digest(self) -> str:
        """Return a hash over everything that prompts are made of except the dialogues."""
        return blake2b(b"".join(self._digests.values()), digest_size=8).hexdigest()

    def questions(self, dialogue: Dialogue, which: Turns = "all", only: str | None = None) -> Iterator[Question]:
        """Yield the questions about `which` supporter turns, turn by turn, in the pack's order of dimensions."""
        dimensions = [self.pack.dimensions[only]] if only else list(self.pack.dimensions.values())
        for view in _views(dialogue, which):
            for dimension in dimensions:
                yield Question(
                    dialogue_id=dialogue.id,
                    system=dialogue.system,
                    turn=view.judged,
                    dimension=dimension,
                    view=view,
                    digest=self._digests[dimension.name] + view.digest_for(dimension),
                )

    def prompt(self, question: Question) -> Prompt:
        """Return the prompt of a question."""
        case = str(self._called(question.dimension, "case", question.view.seen_by(question.dimension)))
        return Prompt(self.instructions[question.dimension.name], case)

    def _source(self, name: str) -> str:
        """Return a template's text, and keep it for `run.json`."""
        try:
            self.templates[name] = (self.folder / name).read_text(encoding="utf-8")
        except OSError as error:
            raise AssetError(f"{self.folder / name}: the template cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise AssetError(
                f"{self.folder / name}:1: byte {error.start} is not UTF-8; save the file as UTF-8"
            ) from error
        return self.templates[name]

    def _module(self, dimension: Dimension) -> Any:
        name = dimension.template
        path = self.folder / name
        try:
            module: Any = self._environment.get_template(name).module
        except TemplateNotFound as error:
            missing = self.folder / str(error.name)
            raise AssetError(f"{missing}: this template is missing, and {dimension.name} needs it") from error
        except TemplateSyntaxError as error:
            raise AssetError(f"{self.folder / (error.name or name)}:{error.lineno}: {error.message}") from error
        except UnicodeDecodeError as error:
            # Jinja2 does not say which of the imported templates it was, so each is read to name the file.
            for each in self.folder.glob("*.jinja"):
                self._source(each.name)
            raise AssetError(f"{path}:1: byte {error.start} is not UTF-8; save the file as UTF-8") from error
        except Exception as error:  # a template is the user's program and may raise anything
            raise AssetError(f"{self._place(error, path)}: {error}") from error
        for macro in ("instructions", "case"):
            if not hasattr(module, macro):
                raise AssetError(f"{path}:1: the macro {macro!r} is missing; a template defines instructions and case")
        return module

    def _digest(self, dimension: Dimension) -> bytes:
        """Return a hash over the instructions and over the templates that the case is rendered from."""
        names, texts = [dimension.template], [self.instructions[dimension.name]]
        for name in names:  # the list grows during the loop, by what each template imports
            texts.append(self._source(name))
            names += [each for each in _referenced(texts[-1]) if each not in names]
        return blake2b("\x00".join(texts).encode(), digest_size=16).digest()

    def _instructions(self, dimension: Dimension, answer: AnswerForm) -> str:
        return str(self._called(dimension, "instructions", dimension, answer))

    def _try_out(self) -> None:
        for dialogue in _SPECIMENS:
            view = next(_views(dialogue, "last"))
            for dimension in self.pack.dimensions.values():
                case = str(self._called(dimension, "case", view.seen_by(dimension)))
                if view.turns[-1].block not in case:
                    path = self.folder / dimension.template
                    raise AssetError(f"{path}: the macro 'case' leaves out the reply to judge; print all of view.turns")

    def _called(self, dimension: Dimension, macro: str, *arguments: object) -> object:
        try:
            return getattr(self._modules[dimension.name], macro)(*arguments)
        except Exception as error:  # a template is the user's program and may raise anything
            path = self.folder / dimension.template
            raise AssetError(
                f"{self._place(error, path)}: {error} (in {macro}; {dimension.name} sees "
                f"{', '.join(sorted(dimension.sees)) or 'neither scenario, persona nor analysis'})"
            ) from error

    def _place(self, error: BaseException, path: Path) -> str:
        """Return the file and line of the innermost template line in the traceback of `error`."""
        place, trace = f"{path}:1", error.__traceback__
        while isinstance(trace, TracebackType):
            file = Path(trace.tb_frame.f_code.co_filename)
            if file.suffix == ".jinja" and file.parent == self.folder:
                template = self._environment.get_template(file.name)
                place = f"{file}:{template.get_corresponding_lineno(trace.tb_lineno)}"
            trace = trace.tb_next
        return place


_SPECIMENS = (
    Dialogue(
        id="full",
        scenario="scenario",
        persona="persona",
        turns=(Turn(role="seeker", text="hello"), Turn(role="supporter", text="yes", analysis="analysis")),
    ),
    Dialogue(id="bare", turns=(Turn(role="supporter", text="yes"),)),
)


def _views(dialogue: Dialogue, which: Turns) -> Iterator[View]:
    scenario = _fenced_if_any("background: the situation", dialogue.scenario)
    persona = _fenced_if_any("background: the seeker", dialogue.persona)
    fences: list[Fence] = []
    for place, turn in enumerate(dialogue.turns, 1):
        before = fences[-1].digest if fences else b""
        fences.append(fenced(f"turn {place}, {turn.role}", turn.text, before))
    for place in judged_turns(dialogue, which):
        before = fences[place - 1].digest
        label = f"the supporter's analysis before turn {place}"
        analysis = _fenced_if_any(label, dialogue.turns[place - 1].analysis or "", before)
        yield View(fences[:place], place, {"scenario": scenario, "persona": persona, "analysis": analysis})


def _fenced_if_any(label: str, text: str, after: bytes = b"") -> Fence | None:
    return fenced(label, text, after) if text.strip() else None
