"""The reward server against its own description: what fits is answered as described, what does not is refused."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from perm_cli.serving.app import Limits, make_app
from perm_cli.training.settings import reward_settings
from tests.serving import listening

OPERATIONS = [
    ("POST", "/score"),
    ("POST", "/score/stream"),
    ("POST", "/get_reward"),
    ("POST", "/remote_rm"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
]

# A schema cannot say that lists are of the same length, a text holds its prompt, or one of two fields is empty.
UNSAID = {key: [positive_data_acceptance] for key in ("/get_reward", "/score", "/score/stream")}


@pytest.fixture(scope="module")
def description() -> Iterator[BaseSchema]:
    """Yield what a server says of itself, while it serves; its judge counts words, so that all of it is ours."""
    with listening(make_app(reward_settings(judge="baseline"), Limits())) as url:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        # A text that is too long may make a body that is too large.
        schema.config.checks.negative_data_rejection.expected_statuses = ["413", "422"]
        yield schema


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_it_does_as_it_says(description: BaseSchema, method: str, path: str, mode: GenerationMode) -> None:
    """Clients are generated from the description, and a trainer sends whatever its policy writes."""
    operation = description[path][method]
    if mode is GenerationMode.NEGATIVE and not operation.body:
        pytest.skip("there is nothing that could be wrong")

    @settings(max_examples=5, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(timeout=20, excluded_checks=UNSAID.get(path, []))

    check()


def test_all_it_describes_is_asked(description: BaseSchema) -> None:
    """Else what is added would go unasked."""
    described = [each.ok() for each in description.get_all_operations()]

    assert sorted((each.method.upper(), each.path) for each in described) == sorted(OPERATIONS)
