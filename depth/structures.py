"""The data sample that travels from the data set through the model to the metric."""

from mmengine.structures import BaseDataElement
from torch import Tensor


class DepthDataSample(BaseDataElement):
    """One image's annotations, predictions and meta information.

    Data fields (tensors, set when they are known):
        gt_depth: (H, W) float32, metres, 0 = no ground truth.
        pred_depth: (H, W) float32, metres (or what ``prediction_type`` says), at ``ori_shape``.
        intrinsics: (3, 3) float32, pixels, of the network's input image.

    Meta fields:
        img_path, depth_path: Where the sample came from.
        ori_shape: (h, w) of the image before any resizing and padding, after a crop of the test pipeline.
        img_shape: (h, w) of the network's input before padding.
        crop_box: (top, left, height, width) in the loaded image, if the pipeline cropped it.
        ori_cam_intrinsic: (3, 3) nested list, pixels, that belongs to ``ori_shape``.
        scene_class: Number of the scene's class, where the data set knows it.
        dataset: Name of the data set; min_depth, max_depth: its range in metres.
        prediction_type: What ``pred_depth`` means (``depth.evaluation.PredictionType``); tta: ``'flip'`` or ``'none'``.
    """

    def pin_memory(self) -> 'DepthDataSample':
        """Move the tensors to page-locked memory, from where a copy to a GPU need not wait; loaders call this."""
        for name, value in self.items():
            if isinstance(value, Tensor):
                self.set_field(value.pin_memory(), name)
        return self
