"""The recipe in `examples/grpo`, which is no package, as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

RECIPE = Path(__file__).parents[2] / "examples" / "grpo"


def recipe_module(name: str) -> ModuleType:
    """Return a file of the recipe as a module, as its neighbours import it."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, RECIPE / f"{name}.py")
        assert spec
        assert spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


tiny_policy = recipe_module("tiny").tiny_policy
