"""Rotary position embeddings of timm's DINOv3 transformers, kept on the device."""

import types

import torch
from torch import Tensor, nn

KEPT_SIZES = 16  # of the grid; bounds the memory when images have many sizes


def keep_rotary_embeddings(net: nn.Module) -> None:
    """Let the rotary embeddings of a network be computed once for each grid, in place.

    timm computes them on the CPU in each forward pass: the copy to a GPU would make the host wait,
    and a CUDA graph could not be recorded.
    """
    for module in net.modules():
        # timm has the class since 1.0.20.
        if type(module).__name__ == 'RotaryEmbeddingDinoV3':
            module.kept_embeddings = {}
            module._create_embed = types.MethodType(_kept_embedding, module)


def _kept_embedding(self: nn.Module, feat_shape: list[int], no_aug: bool = False) -> Tensor:
    """Return the embedding (h * w, 2 * dim) of a grid; replaces the method of the class."""
    is_random = self.training and self.aug_active and not no_aug
    if is_random or torch.compiler.is_compiling():
        return type(self)._create_embed(self, feat_shape, no_aug)
    key = (*feat_shape, self.periods.device, self.periods.dtype)
    if key not in self.kept_embeddings:
        # Not made in inference mode, or no later training step could use it.
        with torch.inference_mode(False), torch.no_grad():
            embedding = type(self)._create_embed(self, feat_shape, no_aug)
        # What is kept stays: recorded CUDA graphs read from it.
        if len(self.kept_embeddings) >= KEPT_SIZES:
            return embedding
        self.kept_embeddings[key] = embedding
    return self.kept_embeddings[key]
