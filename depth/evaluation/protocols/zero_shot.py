"""The zero-shot protocols of ZoeDepth, https://arxiv.org/abs/2302.12288: as published, and corrected as ``_v2``.

Common to all: predictions resized to the ground truth's size, clamped to the range that counts, flip averaging, mean
over images. As published the resize aligns corner pixels although images are resized with half-pixel centres, and the
NYU rectangle is used in absolute pixels for every indoor set, so that on 768x1024 maps (DIODE, Hypersim) only the upper
left part counts. ``_v2`` resizes with half-pixel centres and takes the same share of the map for any size; where maps
have 480x640 pixels its region is the published one.

One thing is not as published: DIODE's validity masks are loaded there and never applied, so that every depth in the
range counts; here pixels that the mask calls invalid have no ground truth. Numbers on DIODE differ by what those hold.
"""

import dataclasses

from .protocol import Protocol


def _published(
    name: str,
    what: str,
    data_list: str,
    num_images: int,
    min_depth: float,
    max_depth: float,
    crop: str,
    view: str = 'any',
) -> Protocol:
    return Protocol(
        f'zoedepth_{name}',
        f'{what}, zero-shot as ZoeDepth',
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
    crop = 'nyu_relative' if protocol.crop == 'nyu_absolute' else protocol.crop
    return dataclasses.replace(
        protocol,
        name=f'{protocol.name}_v2',
        description=f'{protocol.description}; crop in shares of the map, half-pixel resize',
        crop=crop,
        resize='bilinear',
        version=2,
    )


# What the descriptions of the DIODE protocols say where they differ from the published code.
_MASKED = "DIODE's mask applied, which the published code loads and ignores"
_PUBLISHED = (
    _published('nyu', 'NYU Depth v2', 'nyu_test.txt (e92c191d)', 654, 1e-3, 10.0, 'nyu_absolute'),
    _published('sunrgbd', 'SUN RGB-D', 'SUNRGBD_val_splits.txt (a3f59e7f)', 5050, 1e-3, 8.0, 'nyu_absolute'),
    _published('ibims', 'iBims-1', 'imagelist.txt', 100, 1e-3, 10.0, 'nyu_absolute'),
    _published('diode_indoor', f'DIODE indoor ({_MASKED})', 'folder val/indoors', 325, 1e-3, 10.0, 'nyu_absolute'),
    _published(
        'hypersim', 'Hypersim', 'test split of metadata_images_split_scene_v1.csv', 7690, 1e-3, 80.0, 'nyu_absolute'
    ),
    _published(
        'kitti',
        'KITTI Eigen split, KB-cropped maps',
        'kitti_eigen_test.txt (8d0499af)',
        652,
        1e-3,
        80.0,
        'garg',
        view='kb_crop',
    ),
    _published('diode_outdoor', f'DIODE outdoor ({_MASKED})', 'folder val/outdoor', 446, 1e-3, 80.0, 'garg'),
    _published(
        'vkitti2',
        'Virtual KITTI 2, KB-cropped maps',
        'a random draw, not published',
        1701,
        1e-3,
        80.0,
        'garg',
        view='kb_crop',
    ),
    _published('ddad', 'DDAD', 'validation split of ddad.json, front camera', 3950, 1e-3, 80.0, 'garg'),
    _published('diml_outdoor', 'DIML outdoor', 'folder test', 500, 2.0, 80.0, 'garg'),
)
ZERO_SHOT = _PUBLISHED + tuple(map(_corrected, _PUBLISHED))
