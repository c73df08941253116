"""
Prompts: what a judge is sent about one dimension of one supporter turn.

A template is a Jinja2 file with two macros. `instructions(rubric, answer)` sees no dialogue, so it is the
same for every call of a dimension and prompt caches serve it; `case(view)` gets what the dimension's
perspective may see, every text already fenced, and nothing else. Templates can therefore neither leak nor
forget a fence, whoever wrote them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from perm_cli.dialogues import Dialogue, Turn, Turns, judged_turns
from perm_cli.errors import AssetError
from perm_cli.fences import Fence, fenced
from perm_cli.rubrics import Dimension, DimensionName, Pack, Sight

Answer = Literal["json", "lines"]
"""How the judge is asked to write its verdict: a JSON object, or named lines for judges that cannot do that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Hold one rendered request; `turn` is the place, counted from 1, of the supporter turn it asks about."""

    dialogue_id: str
    system: str
    turn: int
    dimension: Dimension
    instructions: str
    case: str


@dataclass(frozen=True, slots=True)
class View:
    """Hold what one perspective sees of a dialogue: fenced blocks, and `None` for what the dialogue lacks."""

    turns: tuple[str, ...]
    judged: int
    backdrop: Mapping[Sight, str | None]

    def seen_by(self, dimension: Dimension) -> dict[str, Any]:
        """Return the parts that `dimension` may see; any other name is undefined to its template."""
        seen: dict[str, Any] = {name: self.backdrop[name] for name in dimension.sees}
        return seen | {"turns": self.turns, "judged": self.judged}


class PromptBook:
    """
    Render prompts from a rubric pack and a folder of templates.

    Every template is compiled and tried out on made-up dialogues first; `AssetError` names file, line and reason.
    """

    def __init__(self, pack: Pack, folder: Path, answer: Answer = "json") -> None:
        self._environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
        )
        self.pack = pack
        self.folder = folder
        self._modules = {name: self._module(dimension) for name, dimension in pack.dimensions.items()}
        self.instructions: Mapping[DimensionName, str] = {
            name: self._instructions(dimension, answer) for name, dimension in pack.dimensions.items()
        }
        self.templates = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jinja"))}
        self._try_out()

    @property
    def digest(self) -> str:
        """Return a hash over the text of all templates."""
        text = "\x00".join(f"{name}\x00{text}" for name, text in self.templates.items())
        return blake2b(text.encode(), digest_size=8).hexdigest()

    def prompts(self, dialogue: Dialogue, which: Turns = "all") -> Iterator[Prompt]:
        """Yield the prompts of the chosen supporter turns, turn by turn, the dimensions in the pack's order."""
        for view in _views(dialogue, which):
            for dimension in self.pack.dimensions.values():
                yield self._prompt(dialogue, view, dimension)

    def prompts_of(self, name: DimensionName, dialogue: Dialogue, which: Turns = "all") -> Iterator[Prompt]:
        """Yield the prompts of one dimension for the chosen supporter turns."""
        for view in _views(dialogue, which):
            yield self._prompt(dialogue, view, self.pack.dimensions[name])

    def _prompt(self, dialogue: Dialogue, view: View, dimension: Dimension) -> Prompt:
        return Prompt(
            dialogue_id=dialogue.id,
            system=dialogue.system,
            turn=view.judged,
            dimension=dimension,
            instructions=self.instructions[dimension.name],
            case=str(self._modules[dimension.name].case(view.seen_by(dimension))),
        )

    def _module(self, dimension: Dimension) -> Any:
        name = dimension.template
        path = self.folder / name
        try:
            module: Any = self._environment.get_template(name).module
        except TemplateNotFound as error:
            missing = self.folder / str(error.name)
            raise AssetError(f"{missing}: no such template found, expected one for {dimension.name}") from error
        except TemplateSyntaxError as error:
            raise AssetError(f"{self.folder / (error.name or name)}:{error.lineno}: {error.message}") from error
        except UnicodeDecodeError as error:
            raise AssetError(f"{path}: byte {error.start} is not UTF-8, expected UTF-8") from error
        except (TemplateError, TypeError) as error:
            raise AssetError(f"{self._place(error, path)}: {error}") from error
        for macro in ("instructions", "case"):
            if not hasattr(module, macro):
                raise AssetError(f"{path}:1: no macro {macro!r} found, expected instructions and case")
        return module

    def _instructions(self, dimension: Dimension, answer: Answer) -> str:
        return str(self._called(dimension, "instructions", dimension, answer))

    def _try_out(self) -> None:
        for dialogue in _SPECIMENS:
            view = next(_views(dialogue, "last"))
            for dimension in self.pack.dimensions.values():
                case = str(self._called(dimension, "case", view.seen_by(dimension)))
                if view.turns[-1] not in case:
                    path = self.folder / dimension.template
                    raise AssetError(f"{path}: case leaves out the reply to judge, expected view.turns to be printed")

    def _called(self, dimension: Dimension, macro: str, *arguments: object) -> object:
        path = self.folder / dimension.template
        try:
            return getattr(self._modules[dimension.name], macro)(*arguments)
        except (TemplateError, TypeError, ArithmeticError, LookupError) as error:
            raise AssetError(
                f"{self._place(error, path)}: {error} (in {macro}; {dimension.name} sees "
                f"{', '.join(sorted(dimension.sees)) or 'neither scenario, persona nor analysis'})"
            ) from error

    def _place(self, error: BaseException, path: Path) -> str:
        """Return file and line of the deepest template line that `error` passed through."""
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
    code, backdrop = "", {}
    for name, text in (("scenario", dialogue.scenario), ("persona", dialogue.persona)):
        backdrop[name] = fenced(_LABELS[name], text, code) if text.strip() else None
    blocks: list[Fence] = []
    for place, turn in enumerate(dialogue.turns, 1):
        code = blocks[-1].code if blocks else ""
        blocks.append(fenced(f"turn {place}, {turn.role}", turn.text, code))
    for place in judged_turns(dialogue, which):
        analysis = dialogue.turns[place - 1].analysis
        sights: dict[Sight, str | None] = {
            "scenario": _block(backdrop["scenario"]),
            "persona": _block(backdrop["persona"]),
            "analysis": _block(fenced(f"the supporter's analysis before turn {place}", analysis, blocks[place - 1].code))
            if analysis
            else None,
        }
        yield View(tuple(block.block for block in blocks[:place]), place, sights)


_LABELS = {"scenario": "background: the situation", "persona": "background: the seeker"}


def _block(fence: Fence | None) -> str | None:
    return fence.block if fence else None
