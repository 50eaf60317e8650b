"""DPT head: tokens of four transformer blocks, reassembled into a pyramid and fused coarse to fine.

Reference: Vision Transformers for Dense Prediction, https://arxiv.org/abs/2103.13413
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from depth.export_mode import has_size
from depth.models.layers import build_prompt
from depth.registry import MODELS

from .regression_head import RegressionHead

READOUTS = ('project', 'add', 'ignore')
PATCH_SIZE = 16  # pixels; the levels have strides of 4, 8, 16 and 32


class Reassemble(nn.Module):
    """Reassemble: mix the class token into the patch tokens, then resize to a pyramid level.

    Args:
        embed_dim: Channels E of the tokens.
        out_channels: Channels of the four levels, whose maps are 4, 2, 1 and 1/2 times as large as
            the patch grid.
        readout: Treatment of the class token: ``'project'`` (a linear layer with GELU on the
            concatenation with every patch token), ``'add'`` or ``'ignore'``.

    Raises:
        ValueError: If the readout is unknown or there are not four levels.
    """

    def __init__(
        self, embed_dim: int, out_channels: Sequence[int], readout: str = 'project'
    ) -> None:
        super().__init__()
        if readout not in READOUTS:
            raise ValueError(f'readout is one of {", ".join(map(repr, READOUTS))}, got {readout!r}')
        if len(out_channels) != 4:
            raise ValueError(
                f'DPT reassembles four blocks, got {len(out_channels)} entries in '
                f'{list(out_channels)}'
            )
        self.readout = readout
        first, second, _, last = out_channels
        self.projects = nn.ModuleList(
            ConvModule(embed_dim, channels, 1, act_cfg=None) for channels in out_channels
        )
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, kernel_size=4, stride=4),
                nn.ConvTranspose2d(second, second, kernel_size=2, stride=2),
                nn.Identity(),
                nn.Conv2d(last, last, kernel_size=3, stride=2, padding=1),
            ]
        )
        if readout == 'project':
            self.readout_projects = nn.ModuleList(
                nn.Sequential(nn.Linear(2 * embed_dim, embed_dim), nn.GELU()) for _ in out_channels
            )

    def forward(self, feats: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Map (map (N, E, h, w), class token (N, E)) of four blocks to a pyramid, finest first."""
        outputs = []
        for index, (feat, class_token) in enumerate(feats):
            feat = self.projects[index](self._read_out(index, feat, class_token))
            outputs.append(self.resize_layers[index](feat))
        return outputs

    def _read_out(self, index: int, feat: Tensor, class_token: Tensor) -> Tensor:
        if self.readout == 'ignore':
            return feat
        if self.readout == 'add':
            return feat + class_token[:, :, None, None]
        tokens = feat.flatten(2).transpose(1, 2)  # (N, L, E)
        # (N, L, 2 E)
        pairs = torch.cat([tokens, class_token.unsqueeze(1).expand_as(tokens)], dim=2)
        return self.readout_projects[index](pairs).transpose(1, 2).reshape(feat.shape)


class PreActResidual(nn.Module):
    """Pre-activation residual block: twice ReLU and 3x3 convolution, plus the input.

    Args:
        channels: Channels C of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        block = dict(
            kernel_size=3,
            padding=1,
            bias=False,
            act_cfg=dict(type='ReLU'),
            inplace=False,  # the input is still needed for the sum
            order=('act', 'conv', 'norm'),
        )
        self.conv1 = ConvModule(channels, channels, **block)
        self.conv2 = ConvModule(channels, channels, **block)

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        return feat + self.conv2(self.conv1(feat))


class FusionBlock(nn.Module):
    """Fusion block: add a skip connection to the coarser map, refine, upsample by 2 and project.

    Args:
        channels: Channels C.
        with_skip: Whether there is a skip connection; the coarsest block has none.
    """

    def __init__(self, channels: int, with_skip: bool = True) -> None:
        super().__init__()
        if with_skip:
            self.res_conv_unit1 = PreActResidual(channels)
        self.res_conv_unit2 = PreActResidual(channels)
        self.project = ConvModule(channels, channels, 1, act_cfg=None)

    def forward(
        self,
        feat: Tensor,
        skip: Tensor | None = None,
        add_prompt: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Map ``feat`` (N, C, h, w) and ``skip``, resized where it differs, to (N, C, 2 h, 2 w).

        ``add_prompt`` changes the refined features in between.
        """
        if skip is not None:
            if not has_size(skip, feat.shape[-2:]):
                skip = F.interpolate(
                    skip, size=feat.shape[-2:], mode='bilinear', align_corners=False
                )
            feat = feat + self.res_conv_unit1(skip)
        feat = self.res_conv_unit2(feat)
        if add_prompt is not None:
            feat = add_prompt(feat)
        return self.project(double(feat))


def double(feat: Tensor) -> Tensor:
    """Upsample (N, C, h, w) by 2, bilinear with ``align_corners=True`` as published."""
    size = [2 * length for length in feat.shape[-2:]]
    return F.interpolate(feat, size=size, mode='bilinear', align_corners=True)


class Double(nn.Module):
    """Module form of :func:`double`."""

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, 2 h, 2 w)."""
        return double(feat)


@MODELS.register_module()
class DPTHead(RegressionHead):
    """DPT head: readout, reassemble and fusion of transformer blocks, with a regression output.

    The backbone gives (map, class token) of four blocks, all on one patch grid: ``TimmBackbone(...,
    out_indices=(2, 5, 8, 11), class_token=True)``. Any image size works: where the doubled coarser
    map and a skip connection differ, the skip connection is resized.

    Args:
        in_channels: Channels E of the tokens of every block; all the same.
        post_process_channels: Channels of the four reassembled levels, finest first.
        channels: Channels of the fusion; even.
        readout: Treatment of the class token: ``'project'``, ``'add'`` or ``'ignore'``, see
            :class:`Reassemble`.
        align_corners: Convention of the final resize alone; inside, maps are doubled with True, as
            published.
        prompt: Config of the layers that take sparse depth, ``dict(type='PromptFusion')``; None for
            none.
        **kwargs: ``scale_up``, depth range and ``loss_decode``, see :class:`RegressionHead`.

    Raises:
        ValueError: If the blocks have different channels or there are not four of them.

    Reference: Vision Transformers for Dense Prediction, https://arxiv.org/abs/2103.13413
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (768, 768, 768, 768),
        post_process_channels: Sequence[int] = (96, 192, 384, 768),
        channels: int = 256,
        readout: str = 'project',
        align_corners: bool = False,
        prompt: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(channels, align_corners=align_corners, **kwargs)
        if len(in_channels) != 4 or len(set(in_channels)) != 1:
            raise ValueError(
                f'DPTHead: in_channels is the same width four times, got {list(in_channels)}'
            )
        self.in_channels = list(in_channels)
        self.reassemble_blocks = Reassemble(in_channels[0], post_process_channels, readout)
        self.convs = nn.ModuleList(
            ConvModule(before, channels, 3, padding=1, act_cfg=None, bias=False)
            for before in post_process_channels
        )
        self.fusion_blocks = nn.ModuleList(
            FusionBlock(channels, with_skip=index > 0) for index in range(4)
        )
        self.project = ConvModule(channels, channels, 3, padding=1)
        layers = [
            nn.Conv2d(channels, channels // 2, kernel_size=3, padding=1),
            # Half of the image's size becomes the image's size here, before the last convolutions.
            Double(),
            nn.Conv2d(channels // 2, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, kernel_size=1),
        ]
        self.conv_depth = nn.Sequential(OrderedDict(head=nn.Sequential(*layers)))
        self.prompt_fusion = build_prompt(self, prompt, channels, channels)

    @property
    def last_conv(self) -> nn.Conv2d:
        """The convolution whose output becomes depth."""
        return self.conv_depth.head[-1]

    def forward(
        self,
        feats: Sequence[tuple[Tensor, Tensor]],
        data_samples: list | None = None,
        images: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Map (map (N, E, h, w), class token (N, E)) of four blocks to ``depth`` in metres.

        ``images`` (N, 3, H, W) are for a prompt with a guide.

        Returns:
            ``depth`` (N, 1, 32 * ceil(h / 2), 32 * ceil(w / 2)): the image rounded up to multiples
            of 32.

        Raises:
            ValueError: If the features are maps without class tokens.
        """
        if any(isinstance(feat, Tensor) for feat in feats):
            raise ValueError(
                'DPTHead: the backbone gives maps without class tokens, set '
                'backbone.class_token=True'
            )
        # Strides 4, 8, 16 and 32 of an image with 16x16 patches.
        maps = self.reassemble_blocks(feats)
        levels = [conv(feat) for conv, feat in zip(self.convs, maps, strict=True)]
        prompt = None
        if self.prompt_fusion is not None:
            prompt = self.prompt_fusion.encode(data_samples, feats[0][0], PATCH_SIZE, images)
        fused = levels[-1]
        for index, block in enumerate(self.fusion_blocks):
            skip = levels[-1 - index] if index else None
            add_prompt = None if prompt is None else partial(prompt.add_to, index)
            fused = block(fused, skip, add_prompt)
        feat = self.project(fused)
        depth = self.regress(feat)
        if prompt is not None:
            depth = prompt.correct(depth, feat)
        return dict(depth=depth)
