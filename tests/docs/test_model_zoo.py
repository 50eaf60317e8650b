"""The model zoo names every shipped config and the parameters that it really has."""

import re

import pytest
import torch
from torch.overrides import TorchFunctionMode

from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from tests.shared import REPO

ROWS = dict(
    re.findall(r'^\| ([\w-]+) \| ([\d.]+) \|', (REPO / 'docs/model_zoo.md').read_text(), re.M)
)
CONFIGS = {
    path.stem: path
    for path in sorted((REPO / 'configs').glob('*/*.py'))
    if path.parent.name not in ('_base_', 'synthetic')
}
# Of a project, the configs of the folder named like it; tiny ones are described on its page.
for path in sorted(REPO.glob('projects/*/configs/*/*.py')):
    if path.parent.name == path.parts[-4] and not re.search(
        '_tiny_(rooms|three_worlds)', path.stem
    ):
        CONFIGS[path.stem] = path


INITIALISERS = {
    torch.Tensor.add_,
    torch.Tensor.clamp_,
    torch.Tensor.erfinv_,
    torch.Tensor.fill_,
    torch.Tensor.mul_,
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    torch.Tensor.zero_,
}


class WithoutInitialisation(TorchFunctionMode):
    """Mode in which tensors without values are not initialised: on ``meta`` that took half the time."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in INITIALISERS and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def test_every_config_has_a_row():
    assert set(ROWS) == set(CONFIGS)


@pytest.mark.slow
def test_parameters_are_right():
    actual = {}
    for name, path in CONFIGS.items():
        with torch.device('meta'), WithoutInitialisation():
            model = build_without_weights(load_config(path))
        actual[name] = f'{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f}'
    assert actual == ROWS
