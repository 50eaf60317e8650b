"""Networks of timm: built by name, with errors in words, and weights read from local files."""

import difflib
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from depth.integrity import check_weights, verify_archive


def create_timm_model(owner: str, model_name: str, pretrained: bool, arguments: dict) -> nn.Module:
    """Build a timm model.

    Args:
        owner: Backbone that needs it, for messages.
        model_name: Name in timm.
        pretrained: Load timm's weights (from its cache or the network).
        arguments: Further arguments of ``timm.create_model``.

    Raises:
        ValueError: If timm has no such model, does not take an argument, or cannot fetch the
            weights.
        AssertionError, IndexError: As timm raises them, for an argument with an impossible value.
    """
    if not timm.is_model(model_name):
        near = difflib.get_close_matches(model_name, timm.list_models(), n=3, cutoff=0.5)
        hint = f'did you mean {", ".join(near)}?' if near else "see timm.list_models('*')"
        raise ValueError(f'{owner}: timm {timm.__version__} has no model {model_name!r}; {hint}')
    try:
        return timm.create_model(model_name, pretrained=pretrained, **arguments)
    except (IndexError, AssertionError):
        raise
    except TypeError as error:
        raise ValueError(
            f'{owner}: {model_name} cannot be built with model_args={arguments}: {error}'
        ) from error
    except Exception as error:
        if not pretrained:
            raise
        raise ValueError(
            f'{owner}: the pretrained weights of {model_name} could not be fetched '
            f'({type(error).__name__}). '
            'Without a network, download them elsewhere and give backbone.checkpoint=FILE, '
            'or set backbone.pretrained=False to start from random weights.'
        ) from error


def refuse_checkpoint_path(owner: str, model_args: dict | None) -> None:
    """Refuse timm's own argument for a file, which timm would unpickle.

    Raises:
        ValueError: If ``model_args`` has it.
    """
    if model_args and 'checkpoint_path' in model_args:
        raise ValueError(f'{owner}: model_args.checkpoint_path is not taken, give checkpoint=FILE')


def read_weights(owner: str, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or torch file; nothing in it is executed.

    Raises:
        ValueError: If there is no such file or it holds no plain weights.
    """
    if not path.is_file():
        raise ValueError(f'{owner}: checkpoint {path} does not exist')
    verify_archive(path)
    try:
        if path.suffix == '.safetensors':
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location='cpu', weights_only=True)
    except (
        Exception
    ) as error:  # torch and safetensors raise half a dozen kinds for a file that is not theirs
        raise ValueError(
            f'{owner}: checkpoint {path} is no file of plain weights '
            f'({type(error).__name__}); give a '
            '.safetensors file, or a .pth file that torch.load(weights_only=True) reads'
        ) from error
    for key in ('state_dict', 'model'):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict):
        raise ValueError(
            f'{owner}: checkpoint {path} holds a {type(state).__name__}, not weights by name'
        )
    return state


def fill_network(
    owner: str, net: nn.Module, model_name: str, path: Path, state: dict[str, Tensor]
) -> None:
    """Load the weights of ``net`` out of ``state``, which may hold more, such as a classifier.

    Raises:
        ValueError: If a name is missing, a shape differs, or a weight is NaN or infinite.
    """
    net_state = net.state_dict()
    missing = []
    mismatched = []
    for name, value in net_state.items():
        if name not in state:
            missing.append(name)
        elif state[name].shape != value.shape:
            mismatched.append(name)
    if missing or mismatched:
        raise ValueError(
            f'{owner}: {path} does not hold the weights of {model_name}: '
            f'{len(missing)} names missing {missing[:5]}, {len(mismatched)} shapes differ '
            f'{mismatched[:5]}'
        )
    # A classifier, and levels that are not returned, stay in the file.
    weights = {name: state[name] for name in net_state}
    check_weights(weights, f'{owner}: checkpoint {path}', net_state)
    net.load_state_dict(weights)
