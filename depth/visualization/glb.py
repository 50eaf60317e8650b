"""Binary glTF 2.0 (GLB) of coloured points and triangles."""

import json
import struct

import numpy as np

# Numbers of the specification, sections 3.6.2, 3.7.2.1 and 4.4.
_FLOAT32, _UINT32, _UINT8 = 5126, 5125, 5121
_VERTICES, _INDICES = 34962, 34963
_POINTS, _TRIANGLES = 0, 4


def encode_glb(
    vertices: np.ndarray, colors: np.ndarray, triangles: np.ndarray | None = None
) -> bytes:
    """Return the bytes of a file: a JSON document and the binary data that it describes.

    Args:
        vertices: (N, 3), metres; x right, y up, z towards the viewer.
        colors: sRGB colours of the vertices, (N, 3) uint8.
        triangles: Corners (M, 3) as indices of vertices; without them the vertices are points.

    Reference: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
    """
    # A fourth byte, because each vertex begins at a multiple of four bytes.
    rgba = np.full((len(vertices), 4), 255, np.uint8)
    rgba[:, :3] = _linear_colors(colors)
    arrays = [
        (vertices.astype('<f4'), _FLOAT32, 'VEC3', _VERTICES),
        (rgba, _UINT8, 'VEC4', _VERTICES),
    ]
    primitive = dict(attributes=dict(POSITION=0, COLOR_0=1), mode=_POINTS, material=0)
    if triangles is not None:
        arrays.append((triangles.astype('<u4').reshape(-1), _UINT32, 'SCALAR', _INDICES))
        primitive.update(mode=_TRIANGLES, indices=2)
    content, views, accessors = b'', [], []
    for number, (array, kind, shape, target) in enumerate(arrays):
        data = array.tobytes()
        view = dict(buffer=0, byteOffset=len(content), byteLength=len(data), target=target)
        views.append(view)
        accessors.append(dict(bufferView=number, componentType=kind, count=len(array), type=shape))
        content += data
    accessors[0].update(min=vertices.min(axis=0).tolist(), max=vertices.max(axis=0).tolist())
    accessors[1]['normalized'] = True
    # The colours are those of the photograph: no lights, and both sides are drawn.
    material = dict(doubleSided=True, extensions=dict(KHR_materials_unlit={}))
    document = dict(
        asset=dict(version='2.0', generator='depth-toolbox'),
        scene=0,
        scenes=[dict(nodes=[0])],
        nodes=[dict(mesh=0)],
        meshes=[dict(primitives=[primitive])],
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


def _linear_colors(colors: np.ndarray) -> np.ndarray:
    """Return sRGB colours (N, 3) uint8 as linear ones, which glTF asks for in vertices."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return np.rint(linear * 255).astype(np.uint8)[colors]
