"""Low-rank adaptation (LoRA) of linear layers and convolutions, in place.

Reference: LoRA: Low-Rank Adaptation of Large Language Models, https://arxiv.org/abs/2106.09685
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LowRankUpdate:
    """Mix-in for ``nn.Linear`` and ``nn.Conv2d``: the frozen weight plus a trained low-rank update.

    The layer computes with W + alpha / rank * up @ down. W keeps its name in the state dict, so
    that files of the network without LoRA fit; ``lora_down`` (rank, ...) and ``lora_up``
    (..., rank) come beside it. A file without these two is that of a plain network, and the update
    is 0 after it is loaded.
    """

    OPTIONAL_STATE = ('lora_down', 'lora_up')

    @property
    def weight(self) -> Tensor:
        """The weight with its update, for networks that read it instead of calling the layer.

        timm's BEiT, EVA (DINOv3) and Swin V2 read the weight of ``qkv``; the update would silently
        have no effect there if only the forward pass knew of it.
        """
        return self._parameters['weight'] + self.weight_update(self.lora_down, self.lora_up)

    def weight_update(self, down: Tensor, up: Tensor) -> Tensor:
        """Return the update of the weight, in the weight's shape."""
        update = up.flatten(1) @ down.flatten(1)
        return self.lora_scale * update.view(self._parameters['weight'].shape)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the layer.

        The update runs beside the frozen weight, whose gradient is then never computed.
        """
        weight, bias = self._parameters['weight'], self.bias
        if isinstance(self, nn.Linear):
            low_rank = F.linear(F.linear(inputs, self.lora_down), self.lora_up)
            return F.linear(inputs, weight, bias) + self.lora_scale * low_rank
        low_rank = F.conv2d(self._conv_forward(inputs, self.lora_down, None), self.lora_up)
        return self._conv_forward(inputs, weight, bias) + self.lora_scale * low_rank

    def _load_from_state_dict(self, state_dict: Mapping, prefix: str, *args) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        if f'{prefix}weight' in state_dict and f'{prefix}lora_up' not in state_dict:
            with torch.no_grad():
                self.lora_up.zero_()


@functools.cache
def _adapted_class(layer_class: type) -> type:
    """Return the class of a layer with LoRA, a subclass of its own class."""
    return type(f'LoRA{layer_class.__name__}', (LowRankUpdate, layer_class), {})


def add_lora(
    network: nn.Module, rank: int, alpha: float | None = None, targets: Sequence[str] = ('',)
) -> list[str]:
    """Add LoRA to layers of a network in place, and freeze all other parameters of the network.

    At the start the update is 0: the network computes what it did before.

    Args:
        network: Any network.
        rank: Rank of the update, at least 1.
        alpha: The update is multiplied by alpha / rank; ``rank`` by default.
        targets: Regular expressions that are searched in the layers' names, such as
            ``attn.qkv``. Linear layers and convolutions without groups can be adapted; the empty
            expression means all of them.

    Returns:
        Names of the adapted layers.

    Raises:
        ValueError: If ``rank`` or ``alpha`` is not positive, or a target is no regular expression
            or names no layer that can be adapted.
    """
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise ValueError(f'lora.rank is a whole number of at least 1, got {rank!r}')
    alpha = rank if alpha is None else alpha
    if not (isinstance(alpha, int | float) and 0 < alpha < math.inf):
        raise ValueError(f'lora.alpha is a number above 0, got {alpha!r}')
    layers = {name: layer for name, layer in network.named_modules() if _is_adaptable(layer)}
    names = match_names('lora.targets', targets, layers, 'linear layer or ungrouped convolution')
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for name in names:
        _adapt(layers[name], rank, alpha / rank)
    return names


def _is_adaptable(layer: nn.Module) -> bool:
    if isinstance(layer, LowRankUpdate):
        return False
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)


def _adapt(layer: nn.Linear | nn.Conv2d, rank: int, scale: float) -> None:
    weight = layer.weight
    out_channels, *in_shape = weight.shape
    up_shape = (out_channels, rank) + (1,) * (weight.ndim - 2)
    layer.lora_down = nn.Parameter(weight.new_empty(rank, *in_shape))
    layer.lora_up = nn.Parameter(weight.new_zeros(up_shape))
    # As torch initialises the weight of a linear layer.
    nn.init.kaiming_uniform_(layer.lora_down, a=math.sqrt(5))
    layer.lora_scale = scale
    layer.__class__ = _adapted_class(type(layer))


def match_names(
    option: str, patterns: Sequence[str], names: Mapping[str, object], kind: str
) -> list[str]:
    """Return the names in which one of the regular expressions is found, in their order.

    Args:
        option: Name of the option, for messages.
        patterns: Regular expressions.
        names: Candidates.
        kind: Description of the candidates, for messages.

    Raises:
        ValueError: If ``patterns`` is no list of texts, or one is invalid or found in no name.
    """
    if isinstance(patterns, str) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ValueError(f'{option} is a list of regular expressions, got {patterns!r}')
    matched: set[str] = set()
    for pattern in patterns:
        try:
            matches = {name for name in names if re.search(pattern, name)}
        except re.error as error:
            raise ValueError(f'{option}: {pattern!r} is no regular expression: {error}') from error
        if not matches:
            raise ValueError(
                f'{option}: {pattern!r} is found in the name of no {kind} of the network; its '
                f'names are like {", ".join(_examples(list(names)))}'
            )
        matched |= matches
    return [name for name in names if name in matched]


def _examples(names: Sequence[str], count: int = 6) -> list[str]:
    """Return names at even distances, for messages."""
    step = max(1, len(names) // count)
    return list(names[::step][:count]) or ['(there are none)']


def merge_lora(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of a network with the low-rank updates added to the weights.

    Args:
        network: Network that the state belongs to; it is not changed.
        state: Its weights by name, or averages of them.

    Returns:
        The weights of the network without LoRA, under its names.
    """
    merged = dict(state)
    for prefix, layer in network.named_modules():
        if isinstance(layer, LowRankUpdate):
            prefix = f'{prefix}.' if prefix else ''
            down, up = merged.pop(f'{prefix}lora_down'), merged.pop(f'{prefix}lora_up')
            merged[f'{prefix}weight'] = state[f'{prefix}weight'] + layer.weight_update(down, up)
    return merged


def has_lora(network: nn.Module) -> bool:
    """Return whether any layer of a network has a low-rank update."""
    return any(isinstance(layer, LowRankUpdate) for layer in network.modules())
