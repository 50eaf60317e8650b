"""Backbone that wraps any plain vision transformer of timm for dense prediction."""

from collections.abc import Sequence
from pathlib import Path

import timm
import torch.nn.functional as F
from mmengine.model import BaseModule
from timm.models import eva, vision_transformer
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from depth.registry import MODELS

from .beit_dense import beit_blocks, make_beit_dense
from .rotary import keep_rotary_embeddings
from .timm_models import create_timm_model, fill_network, read_weights, refuse_checkpoint_path
from .vit_dense import use_offset_bicubic, use_plain_bicubic

FAMILIES = tuple(f'timm.models.{name}' for name in ('vision_transformer', 'deit', 'eva', 'beit'))
POSITION_RULES = ('antialias', 'plain', 'offset')


@MODELS.register_module()
class ViTBackbone(BaseModule):
    """Maps of chosen blocks of a plain vision transformer: DINOv2, DINOv3, BEiT, CLIP, DeiT.

    The image may have any size. Below ``net.`` the weights have timm's names. The blocks behind the
    last one taken and the classifier are removed.

    Args:
        model_name: Name in timm, such as ``vit_small_patch14_dinov2``, its ``reg4`` variants,
            ``vit_small_patch16_dinov3`` or ``beit_base_patch16_384``.
        out_indices: Numbers of the blocks whose output is returned, from 0, or from -1 backwards; a
            number may be given more than once.
        pretrained: Load timm's weights (from its cache or the network).
        checkpoint: Local file of weights with the names of timm, or of the original release of
            DINOv2 or DINOv3; excludes ``pretrained``.
        final_norm: Apply the encoder's last LayerNorm to every map taken, as DINOv2's own decoders,
            Depth Anything and MoGe do; False returns the blocks' outputs as they are.
        final_norm_eps: Epsilon of that norm; timm's value by default.
        prefix_tokens: Return pairs (map, prefix tokens) instead of maps: class token first, then
            registers.
        pos_embed: Rule by which the position embedding is resized to the patch grid:
            ``'antialias'`` (timm's: bicubic, antialiased), ``'plain'`` (bicubic) or ``'offset'``
            (DINOv2's own: bicubic, with its offset of 0.1 patches). At the size of the pre-training
            there is no difference. Rotary codes (DINOv3) and BEiT's relative position bias fit any
            grid and leave this argument at the default.
        grad_checkpointing: Recompute activations in the backward pass to save memory.
        model_args: Further arguments of the timm model (``drop_path_rate``, ``embed_dim``, ...).

    Attributes:
        out_channels: Channels C of every returned map.
        out_strides: Stride of every returned map, the patch size.

    Raises:
        ValueError: If timm has no such model or block, if the model is no plain vision transformer
            or lacks what an option needs, or if weights cannot be loaded.
    """

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int],
        pretrained: bool = False,
        checkpoint: str | None = None,
        final_norm: bool = True,
        final_norm_eps: float | None = None,
        prefix_tokens: bool = False,
        pos_embed: str = 'antialias',
        grad_checkpointing: bool = False,
        model_args: dict | None = None,
    ) -> None:
        super().__init__()
        if pretrained and checkpoint:
            raise ValueError('ViTBackbone: give pretrained=True or checkpoint=..., not both')
        if pos_embed not in POSITION_RULES:
            raise ValueError(
                f'ViTBackbone: pos_embed is one of {", ".join(POSITION_RULES)}, got {pos_embed!r}'
            )
        refuse_checkpoint_path('ViTBackbone', model_args)
        self.net = _create_vit(model_name, pretrained, dict(model_args or {}))
        keep_rotary_embeddings(self.net)
        self.out_indices = _block_numbers(out_indices, len(self.net.blocks), model_name)
        self.final_norm = final_norm
        self.prefix_tokens = prefix_tokens
        # Also removes the classifier and, where they are not needed, the last blocks and the norm.
        self.net.prune_intermediate_layers(
            sorted(set(self.out_indices)), prune_norm=not final_norm, prune_head=True
        )
        if final_norm and isinstance(self.net.norm, nn.Identity):
            raise ValueError(
                f'ViTBackbone: {model_name} has no norm behind its last block, set final_norm=False'
            )
        if final_norm and final_norm_eps is not None:
            self.net.norm.eps = final_norm_eps
        if prefix_tokens and not self.net.num_prefix_tokens:
            raise ValueError(
                f'ViTBackbone: {model_name} has no class token or registers, set '
                'prefix_tokens=False'
            )
        _set_position_rule(self.net, pos_embed, model_name)
        self.patch_size = tuple(self.net.patch_embed.patch_size)
        self.out_channels = [self.net.embed_dim] * len(self.out_indices)
        self.out_strides = [self.patch_size[0]] * len(self.out_indices)
        if grad_checkpointing:
            self.net.set_grad_checkpointing(True)
        if checkpoint:
            _load_local(self.net, model_name, Path(checkpoint))

    def forward(self, inputs: Tensor) -> list[Tensor] | list[tuple[Tensor, Tensor]]:
        """Map a normalised image (N, 3, H, W) to one map (N, C, h, w) a block of ``out_indices``.

        With ``prefix_tokens`` every entry is a pair of the map and the prefix tokens (N, P, C).

        An image whose size is no multiple of the patch is padded with zeros at the right and
        bottom.
        """
        height, width = inputs.shape[-2:]
        rows, columns = self.patch_size
        # timm refuses a part of a patch; heads cut what belongs to the padding.
        images = F.pad(inputs, (0, -width % columns, 0, -height % rows))
        # A block that is asked for twice runs once; timm returns blocks in ascending order.
        blocks = sorted(set(self.out_indices))
        if isinstance(self.net, Beit):
            feats_by_block = self._run_beit(images, blocks)
        else:
            feats = self.net.forward_intermediates(
                images,
                indices=blocks,
                norm=self.final_norm,
                return_prefix_tokens=self.prefix_tokens,
                intermediates_only=True,
            )
            feats_by_block = dict(zip(blocks, feats, strict=True))
        return [feats_by_block[index] for index in self.out_indices]

    def _run_beit(
        self, images: Tensor, blocks: Sequence[int]
    ) -> dict[int, Tensor | tuple[Tensor, Tensor]]:
        """Return the map, or the pair with prefix tokens, of each of ``blocks`` of a BEiT."""
        grid = self.net.patch_embed.dynamic_feat_size(images.shape[-2:])
        feats_by_block = {}
        for index, tokens in beit_blocks(self.net, images, blocks).items():
            tokens = self.net.norm(tokens)  # the identity without ``final_norm``
            feat = tokens[:, 1:].transpose(1, 2).unflatten(2, grid).contiguous()
            feats_by_block[index] = (feat, tokens[:, :1]) if self.prefix_tokens else feat
        return feats_by_block


def _create_vit(model_name: str, pretrained: bool, model_args: dict) -> nn.Module:
    """Build a plain vision transformer that takes any grid of patches."""
    family = timm.model_entrypoint(model_name).__module__ if timm.is_model(model_name) else None
    if family is not None and family not in FAMILIES:
        raise ValueError(
            f'ViTBackbone: {model_name} is no plain vision transformer ({family}); TimmBackbone '
            'takes it'
        )
    # BEiT has no such argument; beit_dense.py makes it take any size.
    dynamic = {} if family == 'timm.models.beit' else dict(dynamic_img_size=True)
    try:
        net = create_timm_model(
            'ViTBackbone', model_name, pretrained, dynamic | dict(num_classes=0) | model_args
        )
    except AssertionError as error:
        raise ValueError(
            f'ViTBackbone: {model_name} cannot be built with model_args={model_args}: {error}'
        ) from error
    if isinstance(net, Beit):
        make_beit_dense(net)
    return net


def _block_numbers(indices: Sequence[int], depth: int, model_name: str) -> list[int]:
    """Return block numbers counted from 0."""
    numbers = list(indices)
    if not numbers or not all(isinstance(n, int) and -depth <= n < depth for n in numbers):
        raise ValueError(
            f'ViTBackbone: out_indices are numbers of the {depth} blocks of {model_name}, 0 to '
            f'{depth - 1}, got {indices!r}'
        )
    return [number % depth for number in numbers]


def _set_position_rule(net: nn.Module, rule: str, model_name: str) -> None:
    if rule == 'antialias':
        return
    if type(net) is not VisionTransformer or net.pos_embed is None:
        raise ValueError(
            f'ViTBackbone: pos_embed={rule!r} is for a learned position embedding, which '
            f"{model_name} ({type(net).__name__}) does not have; leave it at 'antialias'"
        )
    if rule == 'plain':
        use_plain_bicubic(net)
    else:
        use_offset_bicubic(net)


def _load_local(net: nn.Module, model_name: str, path: Path) -> None:
    """Load a file with timm's names, or those of the original releases of DINOv2 and DINOv3."""
    state = read_weights('ViTBackbone', path)
    if isinstance(net, VisionTransformer) and 'mask_token' in state:
        state = vision_transformer.checkpoint_filter_fn(state, net)
    elif isinstance(net, Eva) and 'storage_tokens' in state:
        state = eva.checkpoint_filter_fn(state, net)
    fill_network('ViTBackbone', net, model_name, path, state)
