"""Vision transformers for dense prediction: class tokens and position embeddings for any grid.

timm resamples a position embedding with antialiasing. The published dense models (DPT,
https://arxiv.org/abs/2103.13413, as ported to segmentation and depth toolboxes) take plain bicubic
interpolation, DINOv2 (https://arxiv.org/abs/2304.07193) takes it with an offset of the step; they
differ by several percent.
"""

import types
from collections.abc import Callable

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from depth.export_mode import bicubic_matrix, is_exporting


def find_vit(net: nn.Module, option: str) -> VisionTransformer:
    """Return the transformer inside timm's feature getter.

    Args:
        net: Result of ``timm.create_model(..., features_only=True)``.
        option: Option that needs the transformer, for the message.

    Raises:
        ValueError: If the network is no plain vision transformer with a position embedding.
    """
    model = getattr(net, 'model', None)
    if not isinstance(model, VisionTransformer) or model.pos_embed is None:
        raise ValueError(
            f'TimmBackbone: {option} is for plain vision transformers with a position embedding, '
            f'{type(net if model is None else model).__name__} is none'
        )
    return model


def use_plain_bicubic(model: VisionTransformer) -> None:
    """Resize the position embedding of ``model`` without antialiasing, in place.

    Args:
        model: A timm VisionTransformer created with ``dynamic_img_size=True``.
    """
    model._pos_embed = types.MethodType(_add_plain_position, model)


def use_offset_bicubic(model: VisionTransformer) -> None:
    """Resize the position embedding of ``model`` as DINOv2 does, in place.

    Args:
        model: A timm VisionTransformer created with ``dynamic_img_size=True``.
    """
    model._pos_embed = types.MethodType(_add_offset_position, model)


def features_with_class_token(net: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return (map (N, C, h, w), class token (N, C)) of every chosen block of ``net``.

    Args:
        net: timm's feature getter around a vision transformer.
        images: (N, 3, H, W), H and W multiples of the patch.
    """
    feats = net.model.forward_intermediates(
        images, indices=net.out_indices, return_prefix_tokens=True, intermediates_only=True
    )
    return [(feat, prefix[:, 0]) for feat, prefix in feats]


def resize_position(position: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Resize position embeddings (1, h * w, C) from grid ``old`` (h, w) to ``new``, bicubic."""
    if not is_exporting() and tuple(old) == tuple(new):
        return position
    grid = position.transpose(1, 2).unflatten(2, tuple(old))
    resized = F.interpolate(
        grid.float(), size=tuple(new), mode='bicubic', align_corners=False, antialias=False
    )
    return resized.to(position.dtype).flatten(2).transpose(1, 2)


def resize_position_with_offset(
    position: Tensor, old: tuple[int, int], new: tuple[int, int]
) -> Tensor:
    """Resize position embeddings (1, h * w, C) from grid ``old`` (h, w) to ``new`` as DINOv2 does.

    The published code guards against rounding by asking for (n + 0.1) / old times as many rows. The
    grid gets n rows, but the sampling step is old / (n + 0.1) instead of old / n.
    """
    if is_exporting():
        return _resize_exported(position, old, new)
    if tuple(old) == tuple(new):
        return position
    grid = position.transpose(1, 2).unflatten(2, tuple(old))
    scale = tuple((after + 0.1) / before for before, after in zip(old, new, strict=True))
    resized = F.interpolate(
        grid.float(), scale_factor=scale, mode='bicubic', align_corners=False, antialias=False
    )
    return resized.to(position.dtype).flatten(2).transpose(1, 2)


def _resize_exported(position: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Compute :func:`resize_position_with_offset` for a grid ``new`` that may be symbols."""
    grid = position.unflatten(1, tuple(old)).float()  # (1, h, w, C)
    # The grid of the weights stays as it is: without the offset, the matrices are the identity.
    height, width = (torch.as_tensor(after) for after in new)
    differs = (height != old[0]) | (width != old[1])
    offset = 0.1 * differs.float()
    rows = bicubic_matrix(old[0], new[0], (height + offset) / old[0])
    columns = bicubic_matrix(old[1], new[1], (width + offset) / old[1])
    resized = torch.einsum('ih,jw,nhwc->nijc', rows, columns, grid)
    return resized.to(position.dtype).flatten(1, 2)


def _add_plain_position(self: VisionTransformer, x: Tensor) -> Tensor:
    return _add_position(self, x, resize_position)


def _add_offset_position(self: VisionTransformer, x: Tensor) -> Tensor:
    return _add_position(self, x, resize_position_with_offset)


def _add_position(
    self: VisionTransformer,
    x: Tensor,
    resize: Callable[[Tensor, tuple[int, int], tuple[int, int]], Tensor],
) -> Tensor:
    """Add positions and prefix tokens to patches (N, h, w, C).

    Takes the place of ``VisionTransformer._pos_embed``, with ``resize`` as rule of the embedding.

    Returns:
        Tokens (N, prefix + h * w, C), class and register tokens first.
    """
    tokens = x.flatten(1, 2)
    # Class and register tokens have position embeddings too, unless ``no_embed_class`` is set.
    num_embedded = 0 if self.no_embed_class else self.num_prefix_tokens
    prefix_position = self.pos_embed[:, :num_embedded]
    grid = resize(self.pos_embed[:, num_embedded:], self.patch_embed.grid_size, tuple(x.shape[1:3]))
    prefix = []
    for token in (self.cls_token, self.reg_token):
        if token is not None:
            prefix.append(token.expand(len(x), -1, -1))
    if self.no_embed_class:
        return self.pos_drop(torch.cat([*prefix, tokens + grid], dim=1))
    return self.pos_drop(
        torch.cat([*prefix, tokens], dim=1) + torch.cat([prefix_position, grid], dim=1)
    )
