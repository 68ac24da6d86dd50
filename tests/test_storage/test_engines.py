"""Both engines keep the same promises."""

from collections.abc import Callable

import pytest

from storage.engine import Engine
from tests.support.engine_contract import CONTRACT


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_the_engine_keeps_its_promise(promise: Callable[[Engine], None], engine: Engine) -> None:
    promise(engine)
