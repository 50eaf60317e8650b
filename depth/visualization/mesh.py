"""Surface of a depth map as a coloured triangle mesh in binary glTF (GLB)."""

import json
import struct
from pathlib import Path

import numpy as np

from depth.atomic_write import write_atomically

from .point_cloud import depth_to_points

# Numbers of the glTF 2.0 specification, sections 3.6.2 and 4.4.
_FLOAT32, _UINT32, _UINT8 = 5126, 5125, 5121
_VERTICES, _INDICES, _TRIANGLES = 34962, 34963, 4


def write_mesh(
    path: str | Path,
    depth: np.ndarray,
    intrinsics: np.ndarray,
    img: np.ndarray,
    edge_ratio: float = 1.1,
    max_vertices: int = 200_000,
) -> int:
    """Write the surface through all pixels with depth as GLB, with the image's colours.

    Args:
        path: ``NAME.glb``.
        depth: Metres, (H, W), 0 = none.
        intrinsics: (3, 3), pixels, of this depth map.
        img: BGR uint8, (H, W, 3).
        edge_ratio: No triangle joins corners of which one is more than that many times as far as
            another, because an edge of the scene lies between them.
        max_vertices: Larger maps are thinned out to every second, third ... row and column.

    Returns:
        Number of triangles.

    Raises:
        ValueError: If there is no triangle.

    Reference: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
    """
    stride = 1
    while (depth.shape[0] // stride) * (depth.shape[1] // stride) > max_vertices:
        stride += 1
    # Thinned out behind the back-projection, so that the camera stays that of the full map.
    points = depth_to_points(depth, intrinsics)[::stride, ::stride]
    depth, colors = depth[::stride, ::stride], img[::stride, ::stride, ::-1]
    triangles = _triangles(depth, edge_ratio)
    used, triangles = np.unique(triangles, return_inverse=True)
    if not len(used):
        raise ValueError(f'{path}: no two neighbouring pixels have depth of one surface')
    # The axes of glTF are x right, y up and z towards the viewer.
    vertices = points.reshape(-1, 3)[used] * np.float32([1, -1, -1])
    rgba = np.full((len(used), 4), 255, np.uint8)
    rgba[:, :3] = _linear_colors(colors.reshape(-1, 3)[used])
    write_atomically(path, _glb(vertices, rgba, triangles.reshape(-1, 3)))
    return triangles.size // 3


def _triangles(depth: np.ndarray, edge_ratio: float) -> np.ndarray:
    """Return the corners (N, 3) of two triangles for each square of pixels on one surface."""
    height, width = depth.shape
    index = np.arange(height * width).reshape(height, width)
    corners = []
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            corners.append((rows, columns))
    values = np.stack([depth[corner] for corner in corners])  # (4, H - 1, W - 1)
    nearest, farthest = values.min(axis=0), values.max(axis=0)
    smooth = (nearest > 0) & (farthest <= edge_ratio * nearest)
    top_left, top_right, bottom_left, bottom_right = (index[corner][smooth] for corner in corners)
    # Counter-clockwise as seen from the camera, which is the front of a triangle.
    upper = np.stack([top_left, bottom_left, top_right], axis=1)
    lower = np.stack([top_right, bottom_left, bottom_right], axis=1)
    return np.concatenate([upper, lower])


def _linear_colors(colors: np.ndarray) -> np.ndarray:
    """Return sRGB colours (N, 3) uint8 as linear ones, which glTF asks for in vertices."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return np.rint(linear * 255).astype(np.uint8)[colors]


def _glb(vertices: np.ndarray, rgba: np.ndarray, triangles: np.ndarray) -> bytes:
    """Return the file: a JSON document and the binary data that it describes."""
    arrays = [
        (vertices.astype('<f4'), _FLOAT32, 'VEC3', _VERTICES),
        (rgba, _UINT8, 'VEC4', _VERTICES),
        (triangles.astype('<u4').reshape(-1), _UINT32, 'SCALAR', _INDICES),
    ]
    content, views, accessors = b'', [], []
    for number, (array, kind, shape, target) in enumerate(arrays):
        data = array.tobytes()
        view = dict(buffer=0, byteOffset=len(content), byteLength=len(data), target=target)
        views.append(view)
        accessors.append(dict(bufferView=number, componentType=kind, count=len(array), type=shape))
        content += data
    accessors[0].update(min=vertices.min(axis=0).tolist(), max=vertices.max(axis=0).tolist())
    accessors[1]['normalized'] = True
    primitive = dict(attributes=dict(POSITION=0, COLOR_0=1), indices=2, material=0)
    # The colours are those of the photograph: no lights, and both sides are drawn.
    material = dict(doubleSided=True, extensions=dict(KHR_materials_unlit={}))
    document = dict(
        asset=dict(version='2.0', generator='depth-toolbox'),
        scene=0,
        scenes=[dict(nodes=[0])],
        nodes=[dict(mesh=0)],
        meshes=[dict(primitives=[dict(primitive, mode=_TRIANGLES)])],
        materials=[material],
        extensionsUsed=['KHR_materials_unlit'],
        accessors=accessors,
        bufferViews=views,
        buffers=[dict(byteLength=len(content))],
    )
    text = json.dumps(document, separators=(',', ':')).encode('utf-8')
    text += b' ' * (-len(text) % 4)  # chunks end at a multiple of four bytes
    chunks = struct.pack('<I4s', len(text), b'JSON') + text
    chunks += struct.pack('<I4s', len(content), b'BIN\0') + content
    return struct.pack('<4sII', b'glTF', 2, 12 + len(chunks)) + chunks
