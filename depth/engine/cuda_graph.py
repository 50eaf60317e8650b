"""Inference through recorded CUDA graphs."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from depth.structures import DepthDataSample

WARMUP = 3  # calls before the recording, in which cuDNN and others choose their kernels


class CudaGraphs:
    """Prediction function that records one CUDA graph per input size and replays it.

    The host then launches one graph instead of a thousand kernels, whose launches limit the speed
    on small images. After the first ``most`` sizes further ones run without a graph, because every
    graph holds memory.

    Args:
        predict: Function of normalised images (N, 3, H, W), and of data samples that it must not
            read, that returns one tensor.
        most: Maximal number of graphs.
        record: Function that records ``predict`` for given inputs and returns the replay; by
            default :func:`record_graph`.
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
        """Return the prediction for ``inputs`` as a new tensor."""
        samples = () if data_samples is None else (data_samples,)
        key = (tuple(inputs.shape), inputs.dtype, inputs.device)
        if key not in self.replays:
            if len(self.replays) >= self.most:
                return self.predict(inputs, *samples)
            unread_samples = [UnreadSamples(batch_samples) for batch_samples in samples]
            self.replays[key] = self.record(self.predict, inputs, *unread_samples)
        return self.replays[key](inputs)


class UnreadSamples(list):
    """Data samples that raise when they are read: a replay would repeat the recorded values."""

    def __iter__(self) -> Iterator[DepthDataSample]:
        """Raise ValueError."""
        raise ValueError(
            'inference.cuda_graph=True is for methods that look at the image alone; this one reads '
            'its data samples (the camera, say), set it to False'
        )

    def __getitem__(self, index: int) -> DepthDataSample:
        """Raise ValueError."""
        return next(iter(self))


def record_graph(
    predict: Callable[..., Tensor], inputs: Tensor, *samples
) -> Callable[[Tensor], Tensor]:
    """Record ``predict`` on a CUDA device; return what copies images in and replays it."""
    # Replays write into static_inputs whatever mode the caller is in; tensors made in inference
    # mode would forbid that.
    with torch.inference_mode(False), torch.no_grad():
        static_inputs = inputs.clone()
        # PyTorch requires the warm-up on another stream than the current one.
        warmup_stream = torch.cuda.Stream(inputs.device)
        warmup_stream.wait_stream(torch.cuda.current_stream(inputs.device))
        with torch.cuda.stream(warmup_stream):
            for _ in range(WARMUP):
                predict(static_inputs, *samples)
        torch.cuda.current_stream(inputs.device).wait_stream(warmup_stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = predict(static_inputs, *samples)

    def replay(images: Tensor) -> Tensor:
        static_inputs.copy_(images)
        graph.replay()
        return output.clone()

    return replay
