"""Published cases of ``shared/reference``: weights drawn from names, recorded outputs."""

import importlib.util
import json
from functools import cache
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from depth.engine.config import load_config
from tests.shared import REFERENCE, REPO


@cache
def recipe() -> ModuleType:
    """Import the shared recipe."""
    spec = importlib.util.spec_from_file_location('reference_recipe', REFERENCE / 'recipe.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_case(name: str) -> dict:
    """Return a case's description."""
    return json.loads((REFERENCE / f'{name}.json').read_text())


def published_state(case: dict) -> dict[str, Tensor]:
    """Draw the published weights."""
    return {name: torch.from_numpy(np.asarray(value)) for name, value in recipe().published_state(case).items()}


def image(case: dict) -> Tensor:
    """Draw the normalised image."""
    return torch.from_numpy(recipe().make_input(case['input_shape'], case['input_seed']))


def shipped_config(path: str):
    """Read a config below ``configs/``."""
    return load_config(REPO / 'configs' / path)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the relative L2 distance."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
