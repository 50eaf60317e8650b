"""Options that every backbone has: freezing, LoRA, early fusion of points; order of its layers."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from timm.models import group_parameters
from torch import nn

from depth.registry import MODELS

from ..layers.lora import add_lora, match_names
from .early_fusion import add_early_fusion
from .timm_backbone import TimmBackbone

# Of the config of a backbone, beside its own arguments.
TUNING_OPTIONS = ('freeze', 'lora', 'early_fusion')


def build_backbone(config: dict) -> nn.Module:
    """Build a backbone from its config, which may hold options of any backbone as well.

    Args:
        config: Config of a registered backbone, and

            - ``freeze``: True freezes all parameters; a number n those of the first n layers, the
              stem being the first (:func:`parameter_layers`); a list of regular expressions those
              in whose names one is found.
            - ``lora``: ``rank``, ``alpha`` and ``targets`` of
              :func:`~depth.models.layers.lora.add_lora`; freezes all other parameters.
            - ``early_fusion``: True lets the first convolution take sparse depth too
              (:func:`~depth.models.backbones.early_fusion.add_early_fusion`); these weights are
              trained whatever is frozen.

            Weights that the config names are loaded before. Layers without a trained parameter stay
            in eval mode during training (:func:`hold_frozen`).

    Raises:
        ValueError: If an option has an impossible value or names nothing.
    """
    config = dict(config)
    freeze, lora = config.pop('freeze', None), config.pop('lora', None)
    early_fusion = config.pop('early_fusion', False)
    backbone = MODELS.build(config)
    # mmengine initialises a model at the start of a training and would call timm's init_weights(),
    # over pretrained weights, which are loaded by now.
    for module in backbone.modules():
        if callable(getattr(module, 'init_weights', None)) and not isinstance(module, BaseModule):
            module.is_init = True
    if freeze and lora:
        raise ValueError(
            'backbone: give freeze or lora; lora freezes all that it does not add, and '
            'lora.targets chooses the layers'
        )
    if freeze:
        freeze_parameters(backbone, freeze)
    if lora:
        unknown = set(lora) - {'rank', 'alpha', 'targets'}
        if 'rank' not in lora or unknown:
            raise ValueError(
                f'backbone.lora is dict(rank=..., alpha=..., targets=[...]), got {dict(lora)}'
            )
        add_lora(backbone, **lora)
    if early_fusion:
        add_early_fusion(backbone)
    backbone.has_frozen_layers = bool(freeze or lora)
    return backbone


def freeze_parameters(backbone: nn.Module, freeze: bool | int | Sequence[str]) -> None:
    """Freeze parameters as ``freeze`` of :func:`build_backbone` says.

    Raises:
        ValueError: If there are fewer layers, or a pattern is found in no name.
    """
    parameters = dict(backbone.named_parameters())
    if freeze is True:
        names = list(parameters)
    elif isinstance(freeze, int):
        layers = parameter_layers(backbone)
        num_layers = max(layers.values()) + 1
        if not 0 < freeze <= num_layers:
            raise ValueError(
                f'backbone.freeze: there are {num_layers} layers, the stem included, got {freeze}; '
                'True freezes the whole backbone'
            )
        names = [name for name, layer in layers.items() if layer < freeze]
    elif isinstance(freeze, list | tuple):
        names = match_names('backbone.freeze', freeze, parameters, 'parameter')
    else:
        raise ValueError(
            'backbone.freeze is True, a number of layers or a list of regular expressions, got '
            f'{freeze!r}'
        )
    for name in names:
        parameters[name].requires_grad_(False)


def hold_frozen(network: nn.Module) -> None:
    """Put backbones with frozen layers, or such layers alone, into eval mode, below ``network``.

    Running statistics of BatchNorms would move otherwise, and dropout and drop path would disturb
    features that no longer adapt to them.
    """
    for module in network.modules():
        if getattr(module, 'has_frozen_layers', False):
            _hold_layers(module)


def _hold_layers(module: nn.Module) -> None:
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        _hold_layers(child)


def parameter_layers(backbone: nn.Module) -> dict[str, int]:
    """Return the number of the layer of each parameter of a backbone, 0 for the stem.

    The order is that of timm's ``group_matcher``: patch embedding, tokens and position code are 0,
    the first block is 1, and so on; a norm behind a block belongs to it. Each timm network of the
    backbone counts on its own. Parameters outside of them (a convolutional stem beside the
    transformer, norms of the returned levels) are new in a fine-tuning and are not listed.

    Raises:
        ValueError: If the backbone has no timm network whose layers are ordered.
    """
    layers: dict[str, int] = {}
    for prefix, module in backbone.named_modules():
        if isinstance(module, TimmBackbone):
            numbers = module.layer_numbers()
        elif callable(getattr(module, 'group_matcher', None)):
            numbers = group_parameters(module, module.group_matcher(coarse=False), reverse=True)
        else:
            continue
        # Blocks that are not used, and classifiers, are missing: the numbers have no gaps again.
        order = {number: index for index, number in enumerate(sorted(set(numbers.values())))}
        for name, number in numbers.items():
            layers.setdefault(f'{prefix}.{name}' if prefix else name, order[number])
    if not layers:
        raise ValueError(
            f'{type(backbone).__name__} has no timm network, so its layers have no order: freeze '
            'by patterns (backbone.freeze=[...]), and set rates by '
            'optim_wrapper.paramwise_cfg.custom_keys'
        )
    return layers
