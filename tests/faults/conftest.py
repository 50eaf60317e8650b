import pytest

from .bench import Bench


@pytest.fixture(scope='session')
def pristine_bench(tmp_path_factory):
    """Return the bench that the tests copy; nobody breaks it."""
    return Bench.make(tmp_path_factory.mktemp('bench'))


@pytest.fixture
def bench(pristine_bench, tmp_path):
    """Return a bench that the test may break."""
    return pristine_bench.copy(tmp_path / 'bench')
