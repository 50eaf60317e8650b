"""Prediction by replaying recorded CUDA kernels."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from depth.structures import DepthDataSample

WARMUP = 3  # libraries choose their kernels before the recording


class CudaGraphs:
    """Call a prediction through one CUDA graph a size.

    The host then starts one graph instead of a thousand kernels, which is what limits small images. Sizes beyond the
    first ``most`` run as they would without graphs, because every graph holds memory.

    Args:
        predict: Maps normalised images (N, 3, H, W), and data samples that it must not read, to one tensor.
        most: Most graphs.
        record: Makes a replay of ``predict`` for inputs like the given ones.
    """

    def __init__(
        self,
        predict: Callable[..., Tensor],
        most: int = 8,
        record: Callable[..., Callable[[Tensor], Tensor]] | None = None,
    ) -> None:
        self.predict = predict
        self.most = most
        self.record = record or record_graph
        self.replays: dict[tuple, Callable[[Tensor], Tensor]] = {}

    def __call__(self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None) -> Tensor:
        """Return the prediction for ``inputs``, a tensor of its own."""
        samples = () if data_samples is None else (data_samples,)
        key = (tuple(inputs.shape), inputs.dtype, inputs.device)
        if key not in self.replays:
            if len(self.replays) >= self.most:
                return self.predict(inputs, *samples)
            self.replays[key] = self.record(self.predict, inputs, *(UnreadSamples(some) for some in samples))
        return self.replays[key](inputs)


class UnreadSamples(list):
    """Data samples that refuse to be read: a replay could not follow when the next ones differ."""

    def __iter__(self) -> Iterator[DepthDataSample]:
        """Refuse."""
        raise ValueError(
            'inference.cuda_graph=True is for methods that look at the image alone; this one reads its data samples '
            '(the camera, say), set it to False'
        )

    def __getitem__(self, index: int) -> DepthDataSample:
        """Refuse."""
        return next(iter(self))


def record_graph(predict: Callable[..., Tensor], inputs: Tensor, *samples) -> Callable[[Tensor], Tensor]:
    """Record ``predict`` on a CUDA device and return a function that copies images in and replays it."""
    # Replays write into these tensors in whatever mode the caller is, which inference tensors would forbid.
    with torch.inference_mode(False), torch.no_grad():
        static = inputs.clone()
        beside = torch.cuda.Stream(inputs.device)
        beside.wait_stream(torch.cuda.current_stream(inputs.device))
        with torch.cuda.stream(beside):
            for _ in range(WARMUP):
                predict(static, *samples)
        torch.cuda.current_stream(inputs.device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = predict(static, *samples)

    def replay(images: Tensor) -> Tensor:
        static.copy_(images)
        graph.replay()
        return output.clone()

    return replay
