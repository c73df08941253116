"""
Rubrics: packs of dimensions, as YAML that says what each asks, from whose perspective, what it sees and its scale.

    rubrics/PACK/pack.yaml         the dimensions as a whole: their order, their language, how they make a reward
    rubrics/PACK/DIMENSION.yaml    everything about one dimension

Nothing else in the program names a dimension: tables, charts, exports, statistics and trainers take them from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from perm_cli.errors import AssetError
from perm_cli.findings import first_finding, shown
from perm_cli.prompts.scales import STRICT, Item, Level, Scale, ScaleFile, Words
from perm_cli.prompts.shipped import shipped
from perm_cli.words import FusionName

Perspective = Literal["supporter", "seeker", "bystander"]
ContextPart = Literal["scenario", "persona", "analysis"]
Share = Literal["top", "range"]

DEFAULT_PACK = "perm"
# A dimension's name becomes a column of every table, so it must not be one of these.
RESERVED = frozenset({
    "at", "caveat", "completion_tokens", "danger", "dialogue_id", "dimension", "dimensions", "empathy", "empty",
    "failures", "harm", "harms", "id", "judge", "judge_ok", "key", "latency_s", "longest_wait_s", "missing",
    "rationale", "replies", "retries", "reward", "reward_high", "reward_low", "saturated", "scale", "score", "scores",
    "settings", "spread", "status", "step", "system", "tied", "turn", "vetoed", "worker",
})  # fmt: skip
_RESERVED_BEGINNINGS = ("rho_",)
_RESERVED_ENDINGS = ("_term", "_penalty")
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
_Folder = Annotated[str, StringConstraints(pattern=r"^[\w-]+$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """
    Everything about one dimension; templates see it as `rubric`.

    `share` says how a score becomes a share between 0 and 1 where it is fused: of the highest score (`top`), or of the
    distance from the lowest to the highest (`range`). `labels` are names of human labels of the same quality, with a
    minus sign before those on a reversed scale. `text` is the content of the file.
    """

    name: str
    perspective: Perspective
    template: str
    sees: frozenset[ContextPart]
    title: str
    question: str
    scale: Scale
    share: Share
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    text: str

    @property
    def levels(self) -> Sequence[Level]:
        """Return the levels of the scale, empty if it has items."""
        return self.scale.levels

    @property
    def items(self) -> Sequence[Item]:
        """Return the items of the scale, empty if it has levels."""
        return self.scale.items

    @property
    def low(self) -> int:
        """Return the lowest number that a verdict may state."""
        return self.scale.fields[0].low

    @property
    def high(self) -> int:
        """Return the highest number that a verdict may state."""
        return self.scale.fields[0].high

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the lowest and the highest score."""
        return self.scale.bounds

    def share_of(self, score: float) -> float:
        """Return a score as a share, 1 for the highest score."""
        low, high = self.bounds
        return score / high if self.share == "top" else (score - low) / (high - low)


@dataclass(frozen=True, kw_only=True)
class Empathy:
    """The part of a reward that fuses several dimensions: which ones, and by which mean."""

    __pydantic_config__ = STRICT

    of: Annotated[tuple[_Name, ...], Field(min_length=1)]
    by: FusionName = "harmonic"


@dataclass(frozen=True, kw_only=True)
class Term:
    """A penalty that one dimension adds to a reward: `coefficient · (share - 1)`."""

    __pydantic_config__ = STRICT

    of: _Name
    coefficient: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class RewardRule:
    """How the dimensions of a pack make a reward: some are fused, others are penalty terms."""

    __pydantic_config__ = STRICT

    empathy: Empathy
    terms: tuple[Term, ...] = ()

    @property
    def names(self) -> list[str]:
        """Return the names of the dimensions that the reward uses."""
        return [*self.empathy.of, *(term.of for term in self.terms)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """
    Dimensions that are rated together, in the order in which they are rated, and how they make a reward.

    `prompts` names the folder of their templates, `text` is the content of `pack.yaml`, and `digest` a hash over the
    texts of all dimensions.
    """

    name: str
    title: str
    note: str
    language: str
    prompts: str
    sources: tuple[str, ...]
    dimensions: Mapping[str, Dimension]
    reward: RewardRule
    text: str
    digest: str

    @property
    def shape(self) -> tuple[object, ...]:
        """Return what rewards depend on besides scores: packs of the same shape differ in their wording only."""
        return self.reward, *((name, each.bounds, each.share) for name, each in self.dimensions.items())

    @property
    def trajectory_dimension(self) -> str:
        """Return the dimension that is shown turn by turn: the first of the seeker's perspective, else the first."""
        own = (name for name, each in self.dimensions.items() if each.perspective == "seeker")
        return next(own, next(iter(self.dimensions)))


@dataclass(frozen=True, kw_only=True)
class _PackFile:
    __pydantic_config__ = STRICT
    name: Words
    title: Words
    dimensions: Annotated[list[_Name], Field(min_length=1, max_length=50)]
    sources: list[Words]
    note: Words
    language: Words = "en"
    prompts: _Folder = "en"
    reward: RewardRule | None = None


@dataclass(frozen=True, kw_only=True)
class _DimensionFile(ScaleFile):
    __pydantic_config__ = STRICT
    name: _Name
    perspective: Perspective
    template: Annotated[str, StringConstraints(pattern=r"^[\w-]+\.jinja$")]
    sees: list[ContextPart]
    title: Words
    question: Words
    sources: list[Words]
    share: Share = "top"
    labels: list[Words] = field(default_factory=list)


_PACK = TypeAdapter(_PackFile)
_DIMENSION = TypeAdapter(_DimensionFile)


def pack_folder(chosen: str) -> Path:
    """Return the folder of a pack, given by path or as the name of a shipped pack; raise `AssetError` otherwise."""
    known = sorted(each.name for each in shipped("rubrics").iterdir() if (each / "pack.yaml").is_file())
    if chosen in known and not (Path(chosen) / "pack.yaml").is_file():
        return shipped("rubrics") / chosen
    if Path(chosen).name == chosen and not Path(chosen).is_dir():
        expected = f"a folder with a pack.yaml, or one of {', '.join(known)}"
        raise AssetError(f"--rubrics: {chosen!r} found, expected {expected}")
    return Path(chosen)


@cache
def default_pack() -> Pack:
    """Return the shipped pack that is used if none is named."""
    return load_rubrics(shipped("rubrics") / DEFAULT_PACK)


def load_rubrics(folder: Path) -> Pack:
    """Read and check a folder of rubrics; raise `AssetError` with the file, the line and the reason."""
    path = folder / "pack.yaml"
    text = _text_of(path)
    names = _read(path, text, _PACK).dimensions
    texts = {name: _text_of(folder / f"{name}.yaml") for name in dict.fromkeys(names)}
    return pack_of(text, texts, str(folder))


def pack_of(text: str, texts: Mapping[str, str], place: str) -> Pack:
    """
    Return the pack made from the text of `pack.yaml` and the `texts` of its dimensions by name.

    Raise `AssetError` with `place`, the line and the reason. A pack that does not define a reward uses that of the
    default pack, which needs the default pack's dimensions.
    """
    path = Path(place) / "pack.yaml"
    pack = _read(path, text, _PACK)
    rule = pack.reward or default_pack().reward
    if wrong := _wrong_in_pack(pack, texts, rule):
        raise AssetError(f"{path}:{_line_of(text, wrong[:1])}: {wrong[0]}: {wrong[1]}")
    dimensions = {name: _dimension(Path(place) / f"{name}.yaml", texts[name], name) for name in pack.dimensions}
    joined = "\x00".join(dimension.text for dimension in dimensions.values())
    return Pack(
        name=pack.name,
        title=pack.title,
        note=pack.note,
        language=pack.language,
        prompts=pack.prompts,
        sources=tuple(pack.sources),
        dimensions=dimensions,
        reward=rule,
        text=text,
        digest=blake2b(joined.encode(), digest_size=8).hexdigest(),
    )


def templates_of(pack: Pack, folder: Path) -> Path:
    """Return the folder of a pack's templates: in `folder` beside its `pack.yaml`, else the shipped one."""
    for place in (folder / pack.prompts, shipped("prompts") / pack.prompts):
        if place.is_dir():
            return place
    known = ", ".join(sorted(each.name for each in shipped("prompts").iterdir() if each.is_dir()))
    raise AssetError(
        f"{folder / 'pack.yaml'}:{_line_of(pack.text, ('prompts',))}: prompts: {pack.prompts!r} found, expected a "
        f"folder beside pack.yaml or one of {known}"
    )


@lru_cache(maxsize=64)
def recorded_pack(text: str | None, texts: tuple[tuple[str, str], ...], place: str) -> Pack:
    """
    Return the pack in the record of a run; raise `AssetError` if it cannot be read.

    Older releases recorded only the dimensions, which were those of the default pack.
    """
    try:
        return pack_of(text or default_pack().text, dict(texts), place)
    except AssetError:
        if text is None and {name for name, _ in texts} <= default_pack().dimensions.keys():
            return default_pack()
        raise


def _wrong_in_pack(pack: _PackFile, texts: Mapping[str, str], rule: RewardRule) -> tuple[str, str] | None:
    """Return the first invalid field and the reason."""
    names, source = pack.dimensions, "reward" if pack.reward else "dimensions"
    if twice := _repeated(names):
        return "dimensions", f"{twice!r} found twice, expected each dimension once"
    if taken := next(filter(_is_taken, names), None):
        return "dimensions", f"{taken!r} is the name of a column of every table; choose another name"
    if lost := next((name for name in names if name not in texts), None):
        return "dimensions", f"{lost!r} is listed here, but its rubric is missing"
    if unknown := next((name for name in rule.names if name not in names), None):
        return source, f"the reward uses {unknown!r}, expected only {', '.join(names)}"
    if twice := _repeated(rule.names):
        return source, f"{twice!r} found twice, expected each dimension once"
    return None


def _is_taken(name: str) -> bool:
    return name in RESERVED or name.startswith(_RESERVED_BEGINNINGS) or name.endswith(_RESERVED_ENDINGS)


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for place, name in enumerate(names) if name in names[:place]), None)


def _dimension(path: Path, text: str, name: str) -> Dimension:
    found = _read(path, text, _DIMENSION)
    if wrong := _wrong_in_dimension(found, name):
        raise AssetError(f"{path}:{_line_of(text, wrong[:1])}: {wrong[0]}: {wrong[1]}")
    return Dimension(
        name=found.name,
        perspective=found.perspective,
        template=found.template,
        sees=frozenset(found.sees),
        title=found.title,
        question=found.question,
        scale=found.scale(),
        share=found.share,
        labels=tuple(found.labels),
        sources=tuple(found.sources),
        text=text,
    )


def _wrong_in_dimension(found: _DimensionFile, name: str) -> tuple[str, str] | None:
    """Return the first invalid field and the reason."""
    if found.name != name:
        return "name", f"{found.name!r} found, expected {name!r}, the name of the file"
    if "analysis" in found.sees and found.perspective != "supporter":
        who = found.perspective
        return "sees", f"the {who} cannot see the analysis, which only the supporter knows; remove it"
    if wrong := found.wrong():
        return wrong
    if found.share == "top" and found.scale().bounds[0] < 0:
        return "share", "top found for scores below 0, expected share: range"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """
    What a dimension asked, from the record of a run; if its text is not a rubric, the text itself is the question.

    `columns` and `rows` are the wording of its scale as a table.
    """

    title: str
    question: str
    perspective: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


Wordings = Mapping[str, Wording]


def wording_of(name: str, text: str) -> Wording:
    """Return what a recorded rubric asks; it may be from another release or not a rubric at all."""
    try:
        found = _dimension(Path(name), text, name)
    except AssetError:
        return Wording(title=name, question=text)
    columns, rows = found.scale.table
    return Wording(
        title=found.title,
        question=found.question,
        perspective=found.perspective,
        columns=columns,
        rows=rows,
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise AssetError(f"{path}: the rubric cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AssetError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


def _read(path: Path, text: str, adapter: TypeAdapter[Any]) -> Any:
    try:
        value = yaml.load(text, Loader=_OnceLoader)  # noqa: S506 - a SafeLoader that refuses repeated keys
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise AssetError(f"{path}:{line}: {error.problem} found, expected YAML") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise AssetError(f"{path}:{line}: the character {chr(error.character)!r} is not allowed in YAML") from error
    except RecursionError as error:
        raise AssetError(f"{path}: lists or mappings are nested too deeply") from error
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        line = _line_of(text, error.errors(include_url=False)[0]["loc"])
        raise AssetError(f"{path}:{line}: {first_finding(error)}") from error


class _OnceLoader(yaml.SafeLoader):
    """A loader of plain YAML that refuses a key that occurs twice in one mapping; PyYAML keeps the last silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the base class's signature
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key that is not a single word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _plain(loader: _OnceLoader, node: yaml.Node) -> Any:
    """Return a scalar as a number or a boolean; for invalid ones, PyYAML's own error would have no line number."""
    kind = node.tag.rpartition(":")[2]
    try:
        return getattr(yaml.SafeLoader, f"construct_yaml_{kind}")(loader, node)
    except (KeyError, ValueError):
        what = f"{shown(node.value)} for {'true or false' if kind == 'bool' else 'a number'}"
        raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None


for _tag in ("int", "float", "bool"):
    yaml.add_constructor(f"tag:yaml.org,2002:{_tag}", _plain, Loader=_OnceLoader)
# Dates stay text here: nothing needs a date, and an impossible one would stop the loader.
yaml.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: str(node.value), Loader=_OnceLoader)


def _line_of(text: str, location: Sequence[str | int]) -> int:
    """Return the line of the innermost part of `location` that the file contains."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 1
    for part in location:
        children = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, child) for key, child in children if key.value == str(part)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
