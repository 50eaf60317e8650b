"""Small constant tensors, copied to each device once.

A tensor that is built from Python numbers starts on the CPU. Its copy to a GPU makes the host wait
in every step, and is not allowed while a CUDA graph is recorded.
"""

import torch
from torch import Tensor

Numbers = tuple['float | Numbers', ...]

# A tensor of any other class belongs to a tracer (torch.export, fake tensors) and lives as long.
KEPT_CLASSES: tuple[type, ...] = (Tensor,)
_constants: dict[tuple, Tensor] = {}


# For torch.compile the result is a constant: a trace of this function would copy in each call.
@torch.compiler.assume_constant_result
def device_constant(
    values: Numbers, device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return a tensor of ``values`` on ``device``; the same one for the same arguments.

    Nothing is ever dropped, because recorded CUDA graphs read from the addresses of their
    constants. So this is for a few numbers per image size, such as the sides of feature maps;
    larger tensors are computed on the device.

    Args:
        values: Nested tuples of numbers.
        device: Device of the tensor.
        dtype: Type of the tensor.

    Returns:
        A shared tensor, which nobody may change in place.
    """
    key = (values, device, dtype)
    constant = _constants.get(key)
    if constant is None:
        # A tensor made in inference mode could not take part in a later training step.
        with torch.inference_mode(False):
            constant = torch.tensor(values, device=device, dtype=dtype)
        if type(constant) in KEPT_CLASSES:
            _constants[key] = constant
    return constant
