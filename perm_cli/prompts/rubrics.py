"""Rubrics: YAML that says what each dimension asks, who asks it, what it may see, and what its levels mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from perm_cli.errors import AssetError
from perm_cli.findings import first_finding, shown
from perm_cli.words import DIMENSIONS, DimensionName

Perspective = Literal["supporter", "seeker", "bystander"]
Sight = Literal["scenario", "persona", "analysis"]

ITEM_RANGE = (0, 20)
_STRICT = ConfigDict(extra="forbid")
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Describe one level of a scale."""

    score: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Describe one of the items whose scores are summed."""

    name: str
    question: str
    low: str
    high: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """
    Hold one rubric.

    Either `levels` describe a scale, and a verdict is one whole number from `low` to `high`; or `items` are
    rated from `low` to `high` each, and the score is their sum.
    """

    name: DimensionName
    perspective: Perspective
    template: str
    sees: frozenset[Sight]
    title: str
    question: str
    levels: tuple[Level, ...]
    items: tuple[Item, ...]
    sources: tuple[str, ...]
    text: str

    @property
    def low(self) -> int:
        """Return the lowest score of the scale, or of each item."""
        return ITEM_RANGE[0] if self.items else self.levels[0].score

    @property
    def high(self) -> int:
        """Return the highest score of the scale, or of each item."""
        return ITEM_RANGE[1] if self.items else self.levels[-1].score


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Bind the four dimensions together; `digest` is a hash over the text of all files."""

    name: str
    title: str
    note: str
    sources: tuple[str, ...]
    dimensions: Mapping[DimensionName, Dimension]
    digest: str


@dataclass(frozen=True, kw_only=True)
class _PackFile:
    __pydantic_config__ = _STRICT
    name: _Text
    title: _Text
    dimensions: list[DimensionName]
    sources: list[_Text]
    note: _Text


@dataclass(frozen=True, kw_only=True)
class _ItemFile:
    __pydantic_config__ = _STRICT
    question: _Text
    low: _Text
    high: _Text


@dataclass(frozen=True, kw_only=True)
class _DimensionFile:
    __pydantic_config__ = _STRICT
    name: DimensionName
    perspective: Perspective
    template: Annotated[str, StringConstraints(pattern=r"^[\w-]+\.jinja$")]
    sees: list[Sight]
    title: _Text
    question: _Text
    sources: list[_Text]
    levels: Annotated[dict[int, _Text], Field(min_length=5, max_length=5)] | None = None
    items: dict[Literal["effectiveness", "clarity", "efficiency", "objectivity", "accuracy"], _ItemFile] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """
    What a rubric asks, as a run has kept its text; of a text that is no rubric, the text itself is the question.

    `levels` has the words of each level, `items` of each item its question and the words at its two ends.
    """

    title: str
    question: str
    perspective: str
    levels: Mapping[str, str]
    items: Mapping[str, Sequence[str]]

    @property
    def high(self) -> int | None:
        """Return the highest score, None if it is not known."""
        if self.items:
            return ITEM_RANGE[1] * len(self.items)
        return max((int(level) for level in self.levels if level.isdecimal()), default=None)


Wordings = Mapping[str, Wording]

_PACK = TypeAdapter(_PackFile)
_DIMENSION = TypeAdapter(_DimensionFile)


def load_rubrics(folder: Path) -> Pack:
    """Read and check a folder of rubrics; raise `AssetError` with file, line and reason."""
    path = folder / "pack.yaml"
    pack = _load(path, _PACK)
    if sorted(pack.dimensions) != sorted(DIMENSIONS):
        raise AssetError(f"{path}: dimensions: {pack.dimensions} found, expected {list(DIMENSIONS)} in any order")
    dimensions = {name: _load_dimension(folder / f"{name}.yaml", name) for name in pack.dimensions}
    text = "\x00".join(dimension.text for dimension in dimensions.values())
    return Pack(
        name=pack.name,
        title=pack.title,
        note=pack.note,
        sources=tuple(pack.sources),
        dimensions=dimensions,
        digest=blake2b(text.encode(), digest_size=8).hexdigest(),
    )


def wording_of(name: str, text: str) -> Wording:
    """Return what a rubric that a run has kept says, which may be one of another release or no rubric at all."""
    try:
        found = yaml.load(text, Loader=_OnceLoader)  # noqa: S506 - see above
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    parts = found if isinstance(found, dict) else {"question": text}
    levels, items = (each if isinstance(each := parts.get(key), dict) else {} for key in ("levels", "items"))
    return Wording(
        title=str(parts.get("title") or name),
        question=str(parts.get("question") or ""),
        perspective=str(parts.get("perspective") or ""),
        levels={str(level): str(words).strip() for level, words in levels.items()},
        items={
            str(item): [str(words.get(part) or "").strip() for part in ("question", "low", "high")]
            for item, words in items.items()
            if isinstance(words, dict)
        },
    )


def _load_dimension(path: Path, name: DimensionName) -> Dimension:
    found = _load(path, _DIMENSION)
    for broken, field, message in _contradictions(found, name):
        if broken:
            raise AssetError(f"{path}:{_line_of(path, (field,))}: {field}: {message}")
    levels = tuple(Level(score=score, text=text) for score, text in sorted((found.levels or {}).items()))
    items = tuple(
        Item(name=item, question=each.question, low=each.low, high=each.high)
        for item, each in (found.items or {}).items()
    )
    return Dimension(
        name=found.name,
        perspective=found.perspective,
        template=found.template,
        sees=frozenset(found.sees),
        title=found.title,
        question=found.question,
        levels=levels,
        items=items,
        sources=tuple(found.sources),
        text=path.read_text(encoding="utf-8"),
    )


def _contradictions(found: _DimensionFile, name: str) -> list[tuple[bool, str, str]]:
    wants_items = name == "bystander"
    return [
        (found.name != name, "name", f"{found.name!r} found, expected {name!r} as the file is called"),
        (
            "analysis" in found.sees and found.perspective != "supporter",
            "sees",
            f"analysis found for the {found.perspective}, expected it for the supporter only: nobody else knows it",
        ),
        (wants_items and not found.items, "items", "nothing found, expected the five items of the bystander"),
        (
            wants_items and len(found.items or {}) != len(_ITEM_NAMES),
            "items",
            f"expected all of {_ITEM_NAMES}",
        ),
        (wants_items and bool(found.levels), "levels", "levels found beside items, expected items only"),
        (not wants_items and bool(found.items), "items", f"items found, expected levels for {name}"),
        (
            not wants_items and sorted(found.levels or {}) != [1, 2, 3, 4, 5],
            "levels",
            f"{sorted(found.levels or {})} found, expected the levels 1 to 5: the fusion rests on them",
        ),
    ]


_ITEM_NAMES = ("effectiveness", "clarity", "efficiency", "objectivity", "accuracy")


def _load(path: Path, adapter: TypeAdapter[Any]) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        value = yaml.load(text, Loader=_OnceLoader)  # noqa: S506 - a SafeLoader that refuses repeated keys
    except OSError as error:
        raise AssetError(f"{path}: {error.strerror} found, expected a rubric file") from error
    except UnicodeDecodeError as error:
        raise AssetError(f"{path}: byte {error.start} is not UTF-8, expected UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise AssetError(f"{path}:{line}: {error.problem} found, expected YAML") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise AssetError(f"{path}:{line}: the character {chr(error.character)!r} found, expected YAML") from error
    except RecursionError as error:
        raise AssetError(f"{path}: lists or mappings nested too deeply found, expected YAML") from error
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        line = _line_of(path, error.errors(include_url=False)[0]["loc"])
        raise AssetError(f"{path}:{line}: {first_finding(error)}") from error


class _OnceLoader(yaml.SafeLoader):
    """Load plain YAML and refuse a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the base class's signature
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key that is no word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _plain(loader: _OnceLoader, node: yaml.Node) -> Any:
    """Return the number or truth value that a word means; PyYAML's own error for one that means none has no place."""
    kind = node.tag.rpartition(":")[2]
    try:
        return getattr(yaml.SafeLoader, f"construct_yaml_{kind}")(loader, node)
    except (KeyError, ValueError):
        what = f"{shown(node.value)} for {'true or false' if kind == 'bool' else 'a number'}"
        raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None


for _tag in ("int", "float", "bool"):
    yaml.add_constructor(f"tag:yaml.org,2002:{_tag}", _plain, Loader=_OnceLoader)
# A date is a text like any other here, and an impossible one no reason to stop.
yaml.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: str(node.value), Loader=_OnceLoader)


def _line_of(path: Path, location: Sequence[str | int]) -> int:
    """Return the line of the deepest part of `location` that the file has."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = 1
    for part in location:
        children = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, child) for key, child in children if key.value == str(part)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
