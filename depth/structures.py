"""Data structures shared by data sets, models and metrics: data sample, batch of views."""

from dataclasses import dataclass

from mmengine.structures import BaseDataElement
from torch import Tensor

# Field of a sample by the type of the labels, named as in ``depth.evaluation.PredictionType``.
# What is known up to a factor alone counts as known up to a factor and an offset.
LABEL_FIELDS = dict(
    metric='gt_depth',
    inverse_depth='gt_depth',
    scale_invariant='gt_relative_depth',
    affine_invariant='gt_relative_depth',
    disparity='gt_relative_inverse_depth',
    affine_invariant_disparity='gt_relative_inverse_depth',
)
RELATIVE_FIELDS = ('gt_relative_depth', 'gt_relative_inverse_depth')
# Maps of ground truth, which are padded with the image; 0 = none.
LABEL_MAPS = ('gt_depth', *RELATIVE_FIELDS, 'normals', 'gt_sky', 'gt_planes')


def check_label_type(owner: str, label_type: str) -> None:
    """Raise ValueError if a type of labels is unknown; ``owner`` is for the message."""
    if label_type not in LABEL_FIELDS:
        raise ValueError(
            f'{owner}: label_type is one of {", ".join(LABEL_FIELDS)}, got {label_type!r}'
        )


class DepthDataSample(BaseDataElement):
    """One image's annotations, predictions and meta information.

    Data fields (tensors, each of them optional):
        gt_depth: (H, W) float32, metres, 0 = no ground truth.
        gt_relative_depth: (H, W) float32, depth known up to a factor and an offset of the image,
            0 = no label.
        gt_relative_inverse_depth: (H, W) float32, inverse depth known up to a factor and an offset
            of the image, larger = nearer, 0 = no label.
        pred_depth: (H, W) float32, at ``ori_shape``; metres, or the quantity that
            ``prediction_type`` names.
        intrinsics: (3, 3) float32, pixels, of the network's input image.
        sparse_depth: (H, W) float32, metres, 0 = no point; measured depth that is an input of the
            model, at the size of the network's input image.
        normals: (3, H, W) float32, unit surface normals in camera axes (x right, y down, z
            forward), 0 = none.
        gt_sky: (H, W) uint8, 1 = sky, which has no depth.
        gt_planes: (H, W) uint8, number of the plane that a pixel lies on, 0 = none or not known.
        pred_normals: (3, H, W) float32, predicted unit normals, axes as ``normals``.
        pred_confidence: (H, W) float32, the method's confidence in ``pred_depth``, larger = surer.
        pred_mask: (H, W) bool, or float32 probability, of pixels that have a depth at all; the
            others are sky, for example.
        pred_points: (3, H, W) float32, points in camera axes, in the unit of ``pred_depth``.
        pred_intrinsics: (3, 3) float32, pixels of ``ori_shape``, the camera that the method
            estimated.
        pred_inverse_depth: (h, w) float32, 1/m, at the size of the network's output
            (self-supervised methods).

    Further data fields of a stereo pair, all at the size of the network's input image:
        clean_img, clean_other_img: (3, H, W) uint8 BGR, both views before the colour augmentation.
        other_img: (3, H, W) uint8 BGR, the other view with the same colour augmentation as the
            input.
        stereo_extrinsics: (4, 4) float32, metres, camera of the image to camera of the other view.
        other_intrinsics: (3, 3) float32, pixels, of the other view.
        depth_hint: (H, W) float32, metres, 0 = no hint.

    Meta fields:
        img_path, depth_path: Files of the sample.
        ori_shape: (h, w) of the image before any resizing and padding, after a crop of the test
            pipeline.
        img_shape: (h, w) of the network's input before padding.
        content_box: (top, left, height, width) of the image in a network's input that the pipeline
            padded on all sides.
        input_focal: Focal length in pixels of the network's input, as the method's rule has it,
            where that differs from ``intrinsics`` by rounding (Metric3D).
        crop_box: (top, left, height, width) in the loaded image, if the pipeline cropped it.
        frame_shape: (h, w) of the loaded image.
        label_type: Meaning of the data set's labels, a key of ``LABEL_FIELDS``; ``'metric'``
            without.
        gt_filled: Whether the holes of ``gt_depth`` were filled by an algorithm.
        ori_cam_intrinsic: (3, 3) nested list, pixels, that belongs to ``ori_shape``.
        scene: Category of the scene as text (``kitchen``, ``outdoor_scene``), if the data set has
            it.
        scene_class: Number of the scene's class, if the data set has it.
        dataset: Name of the data set; min_depth, max_depth: its range in metres.
        prediction_type: Quantity in ``pred_depth`` (``depth.evaluation.PredictionType``).
        tta: Test-time augmentation, ``'flip'`` or ``'none'``.
    """

    def pin_memory(self) -> 'DepthDataSample':
        """Move the tensors to page-locked memory, which allows asynchronous copies to a GPU.

        Loaders call this.
        """
        for name, value in self.items():
            if isinstance(value, Tensor):
                self.set_field(value.pin_memory(), name)
        return self


@dataclass
class ViewBatch:
    """Batch of views of the same scenes, for losses that compare images.

    Attributes:
        target: Views whose depth is predicted, (N, 3, H, W) in [0, 1].
        sources: Other views of the same scenes, (N, 3, H, W) each.
        transforms: Target camera to each source camera, (N, 4, 4), metres.
        intrinsics: K of the target, (N, 3, 3), pixels.
        source_intrinsics: K of each source, (N, 3, 3), pixels.
        depth_hint: Depth of the target from stereo matching, (N, 1, H, W), metres, 0 = no hint;
            None without hints.
    """

    target: Tensor
    sources: list[Tensor]
    transforms: list[Tensor]
    intrinsics: Tensor
    source_intrinsics: list[Tensor]
    depth_hint: Tensor | None = None
