"""Protocols of published methods: supervised, zero-shot (ZoeDepth) and self-supervised.

References:
    ZoeDepth, https://arxiv.org/abs/2302.12288
    Monodepth2, https://arxiv.org/abs/1806.01260
    EPCDepth, https://arxiv.org/abs/2109.12484
    SD-ConvTrans, see projects/SDConvTrans
"""

import dataclasses

from .protocol import Protocol
from .test_sets import KITTI_EIGEN_TEST, KITTI_RAW_TEST, NYU_TEST

# Metric depth of supervised models, as the toolboxes that publish such numbers evaluate it.
SUPERVISED = (
    Protocol(
        'nyu_eigen_10',
        'NYU Depth v2, official test images, Eigen rectangle',
        1e-3,
        10.0,
        **NYU_TEST,
        crop='nyu',
        tta='flip',
    ),
    Protocol(
        'nyu_filled_10',
        "NYU Depth v2, official test images with the labelled file's filled depth, Eigen rectangle",
        1e-3,
        10.0,
        **NYU_TEST,
        crop='nyu',
        tta='flip',
        filled=True,
    ),
    Protocol(
        'kitti_eigen_garg_80',
        "KITTI Eigen split with the depth benchmark's ground truth, KB-cropped maps, Garg crop",
        1e-3,
        80.0,
        **KITTI_EIGEN_TEST,
        view='kb_crop',
        crop='garg',
        tta='flip',
    ),
    Protocol(
        'kitti_eigen_crop_80',
        "KITTI Eigen split with the depth benchmark's ground truth, KB-cropped maps, Eigen crop",
        1e-3,
        80.0,
        **KITTI_EIGEN_TEST,
        view='kb_crop',
        crop='eigen',
        tta='flip',
    ),
    Protocol(
        'kitti_benchmark',
        'KITTI depth benchmark, validation list, KB-cropped maps, Garg crop, as toolboxes validate '
        '(not the server)',
        1e-3,
        88.0,
        datasets=('kitti_benchmark',),
        data_list='kitti_benchmark_val.txt (559a7dd5)',
        num_images=6060,
        view='kb_crop',
        crop='garg',
        tta='flip',
    ),
    Protocol(
        'sunrgbd_8',
        'SUN RGB-D, NYU rectangle in absolute pixels, ground truth and prediction capped at 8 m',
        1e-3,
        10.0,
        datasets=('sunrgbd',),
        data_list='SUNRGBD_val_splits.txt (a3f59e7f)',
        num_images=5050,
        crop='nyu_absolute',
        cap_gt=8.0,
        clamp=(0.0, 8.0),
        tta='flip',
    ),
    Protocol(
        'cityscapes_200',
        'Cityscapes validation, Garg crop; stereo ground truth at its own size, never mixed with '
        'missing pixels',
        1e-3,
        200.0,
        datasets=('cityscapes',),
        data_list='folder val',
        num_images=500,
        crop='garg',
        resize='bilinear',
        tta='flip',
    ),
    Protocol(
        'sdconvtrans_full',
        'NYU Depth v2 as SD-ConvTrans scores it: every pixel, no cap, "log10" in natural '
        'logarithms',
        0.0,
        float('inf'),
        **NYU_TEST,
        resize='bilinear',
        average='image_square',
        log10='ln',
        eps_ratio=1e-3,
        eps_log=1e-4,
        tta='none',
    ),
)


def _zoedepth(
    name: str,
    title: str,
    data_list: str,
    num_images: int,
    min_depth: float,
    max_depth: float,
    crop: str,
    view: str = 'any',
) -> Protocol:
    """Return a zero-shot protocol of ZoeDepth as published.

    Common to all: predictions are resized to the size of the ground truth and clamped to the range
    that counts; flip averaging; mean over images.

    One thing differs from the published code: it loads DIODE's validity masks and never applies
    them. Here pixels that the mask calls invalid have no ground truth.
    """
    # Two published quirks. The resize aligns corner pixels, although images are resized with
    # half-pixel centres. And ``nyu_absolute`` is the NYU rectangle in pixels for every indoor set:
    # of 768x1024 maps (DIODE, Hypersim) only the upper left part counts.
    return Protocol(
        f'zoedepth_{name}',
        f'{title}, zero-shot as ZoeDepth',
        min_depth,
        max_depth,
        datasets=(name,),
        data_list=data_list,
        num_images=num_images,
        view=view,
        crop=crop,
        resize='bilinear_corners',
        clamp=(min_depth, max_depth),
        tta='flip',
    )


def _corrected(protocol: Protocol) -> Protocol:
    """Return a published zero-shot protocol with its two quirks corrected, named ``_v2``.

    The resize has half-pixel centres, and the crop takes the same share of a map of any size. Where
    maps have 480x640 pixels, its region is the published one.
    """
    crop = 'nyu_relative' if protocol.crop == 'nyu_absolute' else protocol.crop
    return dataclasses.replace(
        protocol,
        name=f'{protocol.name}_v2',
        description=f'{protocol.description}; crop in shares of the map, half-pixel resize',
        crop=crop,
        resize='bilinear',
        version=2,
    )


_DIODE_MASKED = "DIODE's mask applied, which the published code loads and ignores"
_AS_PUBLISHED = (
    _zoedepth(
        'nyu',
        'NYU Depth v2',
        NYU_TEST['data_list'],
        NYU_TEST['num_images'],
        1e-3,
        10.0,
        'nyu_absolute',
    ),
    _zoedepth(
        'sunrgbd', 'SUN RGB-D', 'SUNRGBD_val_splits.txt (a3f59e7f)', 5050, 1e-3, 8.0, 'nyu_absolute'
    ),
    _zoedepth('ibims', 'iBims-1', 'imagelist.txt', 100, 1e-3, 10.0, 'nyu_absolute'),
    _zoedepth(
        'diode_indoor',
        f'DIODE indoor ({_DIODE_MASKED})',
        'folder val/indoors',
        325,
        1e-3,
        10.0,
        'nyu_absolute',
    ),
    _zoedepth(
        'hypersim',
        'Hypersim',
        'test split of metadata_images_split_scene_v1.csv',
        7690,
        1e-3,
        80.0,
        'nyu_absolute',
    ),
    _zoedepth(
        'kitti',
        'KITTI Eigen split, KB-cropped maps',
        KITTI_EIGEN_TEST['data_list'],
        KITTI_EIGEN_TEST['num_images'],
        1e-3,
        80.0,
        'garg',
        view='kb_crop',
    ),
    _zoedepth(
        'diode_outdoor',
        f'DIODE outdoor ({_DIODE_MASKED})',
        'folder val/outdoor',
        446,
        1e-3,
        80.0,
        'garg',
    ),
    _zoedepth(
        'vkitti2',
        'Virtual KITTI 2, KB-cropped maps',
        'a random draw, not published',
        1701,
        1e-3,
        80.0,
        'garg',
        view='kb_crop',
    ),
    _zoedepth(
        'ddad', 'DDAD', 'validation split of ddad.json, front camera', 3950, 1e-3, 80.0, 'garg'
    ),
    _zoedepth('diml_outdoor', 'DIML outdoor', 'folder test', 500, 2.0, 80.0, 'garg'),
)
ZERO_SHOT = _AS_PUBLISHED + tuple(map(_corrected, _AS_PUBLISHED))

# Depth Anything V2, metric: every pixel up to the far end, predictions neither clamped nor
# mirrored. Its silog is sqrt(mean e^2 - 0.5 (mean e)^2); here it is KITTI's, as everywhere.
DEPTH_ANYTHING = (
    Protocol(
        'depth_anything_v2_hypersim_20',
        'Hypersim, validation split, as the metric models of Depth Anything V2',
        1e-3,
        20.0,
        strict='none',
        datasets=('hypersim',),
        data_list='val split of metadata_images_split_scene_v1.csv',
        num_images=7386,
        tta='none',
    ),
    Protocol(
        'depth_anything_v2_kitti_80',
        'KITTI Eigen split, full frames, every pixel, as the metric models of Depth Anything V2',
        1e-3,
        80.0,
        strict='none',
        **KITTI_EIGEN_TEST,
        view='full',
        tta='none',
    ),
)

# Monodepth2 and EPCDepth. Both resize disparity on KITTI; EPCDepth's script for NYU resizes depth.
SELF_SUPERVISED = (
    Protocol(
        'monodepth2_median',
        'KITTI Eigen split, velodyne points projected at the native size of each day, Garg crop, '
        'median scaling',
        1e-3,
        80.0,
        **KITTI_RAW_TEST,
        view='native',
        crop='garg',
        resize='bilinear',
        resize_inverse=True,
        alignment='median',
        clamp=(1e-3, 80.0),
        version=2,
    ),
    Protocol(
        'monodepth2_improved_median',
        "KITTI Eigen split with the depth benchmark's ground truth, full frames, every pixel, "
        'median scaling',
        0.0,
        float('inf'),
        **KITTI_EIGEN_TEST,
        view='full',
        resize='bilinear',
        resize_inverse=True,
        alignment='median',
        clamp=(1e-3, 80.0),
    ),
    Protocol(
        'epcdepth_stereo',
        'KITTI Eigen split, projected velodyne points at 375x1242, full frames, Garg crop, scale '
        'from the baseline',
        1e-3,
        80.0,
        **KITTI_RAW_TEST,
        view='full',
        crop='garg',
        resize='bilinear',
        resize_inverse=True,
        clamp=(1e-3, 80.0),
        tta='flip_ramps',
    ),
    Protocol(
        'epcdepth_improved',
        "KITTI Eigen split with the depth benchmark's ground truth, full frames, every pixel, "
        'scale from the baseline',
        0.0,
        float('inf'),
        **KITTI_EIGEN_TEST,
        view='full',
        resize='bilinear',
        resize_inverse=True,
        clamp=(1e-3, 80.0),
        tta='flip_ramps',
    ),
    Protocol(
        'epcdepth_nyu',
        'NYU Depth v2 cut to rows 44:471, columns 40:601 by the pipeline, every pixel, median '
        'scaling, depth resized',
        0.0,
        float('inf'),
        datasets=('nyu_h5',),
        data_list='the official test frames',
        num_images=654,
        resize='bilinear',
        alignment='median',
        clamp=(0.1, 10.0),
    ),
)
