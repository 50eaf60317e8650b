"""Layers that process tokens in chunks, for inference on a CPU.

Between two layers the results of all tokens go to memory and come back, fresh pages included. Those
of a thousand tokens stay in the cache: the layers then take less time and hardly any memory.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from depth.export_mode import is_exporting

TOKENS = 1024  # least number of tokens of a chunk, enough for products at full speed


def count_chunks(tokens: Tensor, num_tokens: int) -> int:
    """Return in how many chunks ``num_tokens`` tokens are processed, 1 for all at once.

    Only on a CPU: a GPU would wait for more launches. Only without gradients, which need the
    results of all tokens, and not in a graph that is compiled or exported, in which every chunk
    would be code of its own.

    Args:
        tokens: The tokens, or what they are computed from.
        num_tokens: Their number.
    """
    if not tokens.is_cpu or torch.is_grad_enabled():
        return 1
    if is_exporting() or torch.compiler.is_compiling():
        return 1
    return max(num_tokens // TOKENS, 1)


def apply_in_chunks(layers: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """Return ``layers(tokens)``, chunk by chunk where :func:`count_chunks` says so.

    Args:
        layers: Function from (..., C) to (..., D) that treats each token alone.
        tokens: (..., C).
    """
    chunks = count_chunks(tokens, tokens.shape[:-1].numel())
    if chunks == 1:
        return layers(tokens)
    result = None
    begin = 0
    for chunk in tokens.flatten(0, -2).tensor_split(chunks):
        output = layers(chunk)
        if result is None:
            result = output.new_empty(*tokens.shape[:-1], output.shape[-1])
        result.view(-1, output.shape[-1])[begin : begin + len(chunk)] = output
        begin += len(chunk)
    return result
