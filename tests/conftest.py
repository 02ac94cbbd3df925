"""Settings of every test: hypothesis draws the same examples each time and waits for slow ones."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "house",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rewrite`, which writes down how the plays come out now."""
    parser.addoption("--rewrite", action="store_true", help="rewrite the plays in tests/scenarios")
