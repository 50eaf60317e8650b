"""Backbone that wraps any timm model with intermediate features."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from timm.models import group_parameters
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from depth.registry import MODELS

from .swin_dense import make_swin_dense, rename_official_swin
from .timm_models import create_timm_model, fill_network, read_weights, refuse_checkpoint_path
from .vit_dense import features_with_class_token, find_vit, use_plain_bicubic


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """Feature pyramid of a timm model.

    Swin v1 models take any image size and pad before they shift (see :mod:`.swin_dense`).

    Args:
        model_name: Name in timm, for example ``resnet50`` or ``swin_tiny_patch4_window7_224``.
        out_indices: Feature levels to return, finest first; all of them by default.
        pretrained: Load timm's weights (from its cache or the network).
        checkpoint: Local file of weights in timm's naming, or of the original Swin release;
            excludes ``pretrained``.
        out_norm: ``'LN'`` puts one LayerNorm on every returned level, as the published Swin
            decoders expect.
        norm_eps: Epsilon of the LayerNorms that ``out_norm`` adds.
        net_norm_eps: Epsilon of the network's own LayerNorms; timm's value by default
            (1e-6 in a ViT).
        class_token: Return (map, class token) of every block instead of maps; plain vision
            transformers only.
        pos_embed_antialias: False resizes a ViT's position embedding by plain bicubic
            interpolation, without timm's antialiasing, as the published DPT does; the image may
            then have any size.
        last_conv: Apply the network's last 1x1 convolution to the coarsest level, without its norm
            and activation (``conv_head`` of EfficientNet and MobileNet). The level gets wider, as
            AdaBins needs it.
        frozen_norm: Keep every BatchNorm in eval mode during training.
        grad_checkpointing: Recompute activations in the backward pass to save memory.
        model_args: Further arguments of the timm model (``drop_path_rate``, ``embed_dim``, ...).

    Attributes:
        out_channels: Channels C of every returned level.
        out_strides: Stride of every returned level against the image.

    Raises:
        ValueError: If timm has no such model or level, or if weights cannot be loaded.
    """

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int] | None = None,
        pretrained: bool = False,
        checkpoint: str | None = None,
        out_norm: str | None = None,
        norm_eps: float = 1e-5,
        net_norm_eps: float | None = None,
        class_token: bool = False,
        pos_embed_antialias: bool = True,
        last_conv: bool = False,
        frozen_norm: bool = False,
        grad_checkpointing: bool = False,
        model_args: dict | None = None,
    ) -> None:
        super().__init__()
        if pretrained and checkpoint:
            raise ValueError('TimmBackbone: give pretrained=True or checkpoint=..., not both')
        if out_norm not in (None, 'LN'):
            raise ValueError(f"TimmBackbone: out_norm is None or 'LN', got {out_norm!r}")
        refuse_checkpoint_path('TimmBackbone', model_args)
        if out_norm and class_token:
            raise ValueError(
                'TimmBackbone: out_norm is for maps alone, set class_token=False or out_norm=None'
            )
        # swin_dense.py pads the windows of Swin v1 at run time; timm has to allow any size first.
        is_swin = model_name.split('.')[0].startswith('swin_') and '_cr_' not in model_name
        dense = (
            dict(strict_img_size=False, dynamic_img_size=True, always_partition=True)
            if is_swin
            else {}
        )
        if not pos_embed_antialias:
            dense = dense | dict(dynamic_img_size=True)
        arguments = dense | dict(model_args or {})
        self.model_name, self.model_arguments = model_name, arguments
        self.net = _create_features(model_name, out_indices, pretrained, arguments)
        if is_swin:
            make_swin_dense(self.net)
        if not pos_embed_antialias:
            use_plain_bicubic(find_vit(self.net, 'pos_embed_antialias=False'))
        if class_token and not find_vit(self.net, 'class_token=True').has_class_token:
            raise ValueError(
                f'TimmBackbone: {model_name} has no class token, set class_token=False'
            )
        self.class_token = class_token
        if net_norm_eps is not None:
            _set_norm_eps(self.net, net_norm_eps)
        self.patch_size = _patch_size(self.net, is_swin)
        self.out_channels = list(self.net.feature_info.channels())
        self.last_conv = last_conv
        if last_conv:
            self.net.conv_head = _create_last_conv(
                model_name, pretrained, arguments, self.out_channels[-1]
            )
            self.out_channels[-1] = self.net.conv_head.out_channels
        self.out_strides = list(self.net.feature_info.reduction())
        self.channels_last = str(getattr(self.net, 'output_fmt', 'NCHW')).endswith('NHWC')
        self.out_norms = None
        if out_norm:
            self.out_norms = nn.ModuleList(
                nn.LayerNorm(channels, eps=norm_eps) for channels in self.out_channels
            )
        self.frozen_norm = frozen_norm
        if grad_checkpointing:
            _checkpoint_gradients(self.net, model_name)
        if checkpoint:
            _load_local(self.net, model_name, checkpoint)

    def forward(self, inputs: Tensor) -> list[Tensor] | list[tuple[Tensor, Tensor]]:
        """Map a normalised image (N, 3, H, W) to feature maps (N, C, h, w), finest first.

        With ``class_token`` every entry is a pair of the map and the class token (N, C) of one
        block.

        An image whose size is no multiple of the patch size is padded with zeros at the right and
        bottom (Swin, ViT).

        Raises:
            ValueError: If the network does not take images of this size.
        """
        height, width = inputs.shape[-2:]
        patch_height, patch_width = self.patch_size
        padded = F.pad(inputs, (0, -width % patch_width, 0, -height % patch_height))
        try:
            feats = (
                features_with_class_token(self.net, padded)
                if self.class_token
                else self.net(padded)
            )
        except AssertionError as error:  # how timm refuses a size
            raise ValueError(
                f'TimmBackbone: an image of {height}x{width} does not fit the model: {error} '
                'Set backbone.model_args.img_size, or dynamic_img_size=True where the model knows '
                'it.'
            ) from error
        if self.last_conv:
            feats = [*feats[:-1], self.net.conv_head(feats[-1])]
        if self.out_norms is not None:
            feats = [
                self._apply_norm(norm, feat)
                for norm, feat in zip(self.out_norms, feats, strict=True)
            ]
        if self.channels_last:
            feats = [feat.permute(0, 3, 1, 2).contiguous() for feat in feats]
        return list(feats)

    def layer_numbers(self) -> dict[str, int]:
        """Return the number of the layer of each parameter of ``net``, in timm's order."""
        # timm's wrapper of a feature pyramid keeps neither the order of the layers nor their names.
        with torch.device('meta'):
            full = create_timm_model('TimmBackbone', self.model_name, False, self.model_arguments)
        numbers = group_parameters(full, full.group_matcher(coarse=False), reverse=True)
        net_state = self.net.state_dict()
        renamed = {_feature_name(name, net_state): number for name, number in numbers.items()}
        return {
            f'net.{name}': renamed[name]
            for name, _ in self.net.named_parameters()
            if name in renamed
        }

    def _apply_norm(self, norm: nn.LayerNorm, feat: Tensor) -> Tensor:
        if self.channels_last:
            return norm(feat)
        return norm(feat.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def train(self, mode: bool = True) -> 'TimmBackbone':
        """Switch to training mode; BatchNorms stay in eval mode if ``frozen_norm``."""
        super().train(mode)
        if mode and self.frozen_norm:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def _set_norm_eps(net: nn.Module, eps: float) -> None:
    for module in net.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = eps


def _checkpoint_gradients(net: nn.Module, model_name: str) -> None:
    # timm wraps plain transformers in a feature getter around ``model``.
    enable = getattr(net, 'set_grad_checkpointing', None)
    if enable is None:
        enable = getattr(getattr(net, 'model', None), 'set_grad_checkpointing', None)
    try:
        enable(True)
    except (AssertionError, TypeError) as error:
        raise ValueError(
            f'TimmBackbone: timm cannot recompute {model_name}, set grad_checkpointing=False'
        ) from error


def _patch_size(net: nn.Module, is_swin: bool) -> tuple[int, int]:
    """Return the (height, width) that an image must be a multiple of."""
    if is_swin:
        return net.patch_embed.patch_size
    # Plain transformers, whose patches do not overlap, are the ``model`` of a feature getter.
    embed = getattr(getattr(net, 'model', None), 'patch_embed', None)
    return tuple(getattr(embed, 'patch_size', (1, 1)))


def _create_features(
    model_name: str, out_indices: Sequence[int] | None, pretrained: bool, arguments: dict
) -> nn.Module:
    indices = {} if out_indices is None else dict(out_indices=tuple(out_indices))
    try:
        return create_timm_model(
            'TimmBackbone',
            model_name,
            pretrained,
            dict(features_only=True, **indices, **arguments),
        )
    except (IndexError, AssertionError) as error:
        levels = 'timm gives it by default' if out_indices is None else tuple(out_indices)
        raise ValueError(
            f'TimmBackbone: {model_name} does not have the levels {levels}; set out_indices'
        ) from error


def _create_last_conv(
    model_name: str, pretrained: bool, arguments: dict, in_channels: int
) -> nn.Module:
    """Return the last convolution of the full network, which timm's feature getter leaves out."""
    conv = getattr(
        create_timm_model('TimmBackbone', model_name, pretrained, arguments), 'conv_head', None
    )
    if getattr(conv, 'in_channels', None) != in_channels:
        reason = (
            f'the coarsest level has {in_channels} channels'
            if conv is not None
            else 'it has no conv_head'
        )
        raise ValueError(
            f'TimmBackbone: {model_name} has no last convolution to put on the coarsest of the '
            'chosen levels '
            f'({reason}); set last_conv=False, or out_indices that end with the last level'
        )
    return conv


def _load_local(net: nn.Module, model_name: str, checkpoint: str) -> None:
    path = Path(checkpoint)
    state = rename_official_swin(read_weights('TimmBackbone', path))
    net_state = net.state_dict()
    renamed = {_feature_name(name, net_state): value for name, value in state.items()}
    fill_network('TimmBackbone', net, model_name, path, renamed)


def _feature_name(name: str, net_state: dict) -> str:
    """Return the name that timm's feature wrapper gives to ``name``.

    One wrapper flattens top-level lists (a.0 -> a_0), the other (ViT) puts ``model.`` in front.
    """
    head, _, tail = name.partition('.')
    for candidate in (name, f'{head}_{tail}', f'model.{name}'):
        if candidate in net_state:
            return candidate
    return name
