"""Page of a depth server: an image in, depth with the value under the pointer, 3-D view, downloads.

Built with Gradio. It loads nothing from the internet. Depth and points are drawn in the browser
from 16-bit values, so that the range sliders, the value under the pointer and turning need no
request.
"""

import base64
import html
import itertools
import os
import tempfile
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from depth.atomic_write import write_atomically
from depth.datasets.optional_imports import import_optional
from depth.datasets.scenes import camera_matrix, render_scene
from depth.evaluation import PredictionType
from depth.visualization import colorize_depth, encode_depth_png, write_mesh, write_ply
from depth.visualization.output_files import write_array, write_image

from .depth_server import CameraOptions, DepthServer, ServedDepth, ServeError
from .inputs import list_inputs

if TYPE_CHECKING:
    from fastapi import FastAPI
    from gradio import Blocks

MAX_VIEW = 1600  # pixels of the longer side of the depth that the browser draws
MAX_CLOUD = 480  # likewise of the depth that it draws as points
MAX_EXAMPLES = 8
DOWNLOADS = ('16-bit PNG', 'NumPy', 'Colours', 'Points (PLY)', 'Surface (GLB)')
# Folders of results that exist at the same time. Gradio copies each file before the next request of
# its visitor, so that a few are enough.
_NUM_SLOTS = 16
NO_CAMERA = (
    'The 3-D view and the point cloud need the camera: enter the horizontal field of view of the '
    'image.'
)
NO_RELATIVE_CLOUD = (
    'No 3-D view: this model predicts depth up to a factor and an offset, and the unknown offset '
    'would bend the scene.'
)
_VIEW_TEMPLATE = """
<div class="depth-view" {data}>
  <div class="depth-stage"><canvas></canvas><div class="depth-tip" hidden></div></div>
  <div class="depth-bar"><canvas></canvas><div class="depth-ticks"></div></div>
  <div class="depth-sliders">
    <label>near <input type="range" class="depth-near" min="0" max="1000" step="1"
      aria-label="near end of the colours"></label>
    <label>far <input type="range" class="depth-far" min="0" max="1000" step="1"
      aria-label="far end of the colours"></label>
    <button type="button" class="depth-reset">reset</button>
  </div>
  <div class="depth-status"><span class="depth-value">Move the pointer over the picture</span>
    <span>{seconds}</span></div>
</div>
"""


def mount_page(
    app: 'FastAPI', server: DepthServer, examples: str | Path | None = None
) -> 'FastAPI':
    """Return the application with the page of a server at ``/``.

    Args:
        app: Of :func:`depth.apis.serving.build_app`; its endpoints keep their paths.
        server: The model.
        examples: Folder of example frames; by default rendered ones.

    Raises:
        ImportError: If Gradio is missing.
        ValueError: If the folder has no image.
    """
    # Before the import: Gradio reads them when it is loaded.
    os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')
    os.environ.setdefault('GRADIO_SSR_MODE', 'False')
    gradio = import_optional('gradio', 'the page of depth serve', 'serve')
    page = build_page(server, examples)
    return gradio.mount_gradio_app(
        app,
        page,
        path='/',
        max_file_size=server.limits.max_bytes,
        ssr_mode=False,
        footer_links=[],
        show_error=True,
        theme=gradio.themes.Default(primary_hue='blue', radius_size='sm'),
        css=_read_asset('serving_page.css'),
        head=f'<script>{_read_asset("serving_viewer.js")}</script>',
    )


def build_page(server: DepthServer, examples: str | Path | None = None) -> 'Blocks':
    """Return the page of a server as Gradio blocks; see :func:`mount_page`."""
    gradio = import_optional('gradio', 'the page of depth serve', 'serve')
    facts = server.describe()
    folder = tempfile.TemporaryDirectory(prefix='depth-page-')
    root = Path(folder.name)
    if examples is None:
        frames = _render_examples(root / 'examples')
    else:
        frames = []
        for image in list_inputs(examples)[0][:MAX_EXAMPLES]:
            frames.append((image.path, 0))
    slots = itertools.cycle(range(_NUM_SLOTS))

    def predict(path: str | None, fov: float | None) -> list[Any]:
        if path is None:
            return _empty_outputs(gradio)
        try:
            result = _predict(server, Path(path).read_bytes(), fov)
        except ServeError as error:
            raise gradio.Error(error.message, duration=None, print_exception=False) from error
        return _outputs(gradio, result, root / f'{next(slots)}')

    with gradio.Blocks(
        title=f'Depth: {server.name}', analytics_enabled=False, delete_cache=(600, 3600)
    ) as page:
        # The folder lives as long as the page.
        page.depth_files = folder
        gradio.Markdown(_title(facts))
        with gradio.Row(equal_height=False):
            with gradio.Column(scale=2, min_width=300):
                image = gradio.Image(
                    label='Image',
                    type='filepath',
                    sources=['upload', 'webcam', 'clipboard'],
                    height=300,
                    elem_id='depth-image',
                )
                fov = gradio.Number(
                    label='Horizontal field of view (degrees)',
                    info='For the 3-D view; 0 takes the camera that the file or the model knows',
                    value=0,
                    minimum=0,
                    maximum=179,
                    elem_id='depth-fov',
                )
                frames_view = gradio.Dataset(
                    label='Example frames',
                    components=[gradio.Image(render=False)],
                    samples=[[path] for path, _ in frames],
                    type='index',
                    elem_id='depth-examples',
                )
            with gradio.Column(scale=3, min_width=300):
                with gradio.Tabs():
                    with gradio.Tab('Depth'):
                        view = gradio.HTML(_placeholder(), elem_id='depth-view-box')
                    with gradio.Tab('3-D view'):
                        surface = gradio.HTML(elem_id='depth-cloud-box')
                        note = gradio.Markdown(visible=False)
                with gradio.Row(elem_id='depth-downloads'):
                    downloads = []
                    for label in DOWNLOADS:
                        downloads.append(
                            gradio.DownloadButton(label, interactive=False, size='sm', min_width=90)
                        )
        gradio.Markdown(_facts(facts), elem_id='depth-facts')
        outputs = [view, surface, note, *downloads]
        # The field of view first: the change of the image starts the prediction.
        frames_view.click(
            lambda index: frames[index][1], frames_view, fov, api_name=False, show_progress='hidden'
        ).then(
            lambda index: frames[index][0],
            frames_view,
            image,
            api_name=False,
            show_progress='hidden',
        )
        # Of the numbers typed one after the other only the last one counts.
        gradio.on(
            [image.change, fov.input, fov.submit],
            predict,
            [image, fov],
            outputs,
            api_name=False,
            trigger_mode='always_last',
        )
    # Waiting visitors beyond the queue of the server are told so at once.
    page.queue(max_size=server.limits.max_queue, default_concurrency_limit=8)
    return page


def _predict(server: DepthServer, content: bytes, fov: float | None) -> ServedDepth:
    """Predict one image file through the queue of the server."""
    # An empty field counts as 0.
    query = dict(fov=str(fov)) if fov else {}
    camera = CameraOptions.from_query(query)
    future = server.submit(lambda: server.predict_file(content, camera))
    try:
        return future.result(server.limits.timeout)
    except FutureTimeoutError as error:
        future.cancel()
        raise ServeError(504, f'no depth within {server.limits.timeout:g} s') from error


def _outputs(gradio: Any, result: ServedDepth, folder: Path) -> list[Any]:
    """Write the files of a result and return the values of view, 3-D view, note and downloads."""
    quantity = result.prediction_type
    near, far = _value_range(result)
    png, stored = encode_depth_png(result.depth, prediction_type=quantity.value)
    write_atomically(folder / 'depth.png', png)
    write_array(folder / 'depth.npy', result.depth)
    colors = colorize_depth(result.visible, near, far, quantity.is_inverse)
    write_image(folder / 'depth_colors.png', colors)
    files = [folder / 'depth.png', folder / 'depth.npy', folder / 'depth_colors.png']
    downloads = [gradio.DownloadButton(value=str(path), interactive=True) for path in files]
    cloud, clouds, message = '', [], ''
    if quantity.ambiguity == 2:
        message = NO_RELATIVE_CLOUD
    elif result.camera is None:
        message = NO_CAMERA
    else:
        values = result.visible
        if quantity.is_inverse:
            values = np.divide(1, values, out=np.zeros_like(values), where=values > 0)
        write_ply(folder / 'cloud.ply', values, result.camera, result.img)
        clouds.append(str(folder / 'cloud.ply'))
        cloud = _cloud(values, result.camera, result.img)
        try:
            write_mesh(folder / 'surface.glb', values, result.camera, result.img)
            clouds.append(str(folder / 'surface.glb'))
        except ValueError:
            message = 'No surface: no neighbouring pixels have depth of one surface.'
        if quantity.ambiguity == 1:
            message = (
                'The unit of the 3-D view is unknown: the model predicts depth up to a factor.'
            )
    downloads += [gradio.DownloadButton(value=path, interactive=True) for path in clouds]
    while len(downloads) < len(DOWNLOADS):
        downloads.append(gradio.DownloadButton(value=None, interactive=False))
    return [
        _view(result, stored, near, far),
        cloud,
        gradio.Markdown(message, visible=bool(message)),
        *downloads,
    ]


def _empty_outputs(gradio: Any) -> list[Any]:
    downloads = [gradio.DownloadButton(value=None, interactive=False) for _ in DOWNLOADS]
    return [_placeholder(), '', gradio.Markdown(visible=False), *downloads]


def _value_range(result: ServedDepth) -> tuple[float, float]:
    """Return the values between which most of the map lies, for the first colours."""
    values = result.visible
    if not result.prediction_type.is_inverse and (values > 0).any():
        values = values[values > 0]
    # Percentiles: a single far pixel would leave all others one colour.
    near, far = np.percentile(values, (1, 99)).tolist()
    return near, max(far, near + 1e-3)


def _view(result: ServedDepth, stored: dict, near: float, far: float) -> str:
    """Return the HTML of the depth view: values, colours and ranges for ``serving_viewer.js``."""
    step = -(-max(result.depth.shape) // MAX_VIEW)
    # Thinned out, not averaged: the value under the pointer is one that was predicted.
    values = result.visible[::step, ::step]
    scale = stored['depth_scale']
    codes = np.rint(np.clip(values * scale, 0, 65535)).astype('<u2')
    lut = colorize_depth(
        np.linspace(1, 2, 256, dtype=np.float32)[None], 1, 2, result.prediction_type.is_inverse
    )
    height, width = codes.shape
    attributes = dict(
        width=width,
        height=height,
        step=step,
        scale=scale,
        near=near,
        far=far,
        low=float(values.min()),
        high=float(values.max()),
        unit='m' if result.prediction_type is PredictionType.METRIC else '',
        lut=base64.b64encode(np.ascontiguousarray(lut[0, :, ::-1]).tobytes()).decode(),
        codes=base64.b64encode(codes.tobytes()).decode(),
    )
    data = ' '.join(f'data-{key}="{html.escape(str(item))}"' for key, item in attributes.items())
    seconds = f'{width * step}x{height * step} pixels, {result.seconds:.2f} s'
    return _VIEW_TEMPLATE.format(data=data, seconds=seconds)


def _cloud(depth: np.ndarray, camera: np.ndarray, img: np.ndarray) -> str:
    """Return the HTML of the 3-D view: depth, colours and camera for ``serving_viewer.js``."""
    step = -(-max(depth.shape) // MAX_CLOUD)
    values, colors = depth[::step, ::step], img[::step, ::step]
    scale = 65535 / max(float(values.max()), 1e-6)
    codes = np.rint(values * scale).astype('<u2')
    height, width = codes.shape
    fx, fy, cx, cy = camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]
    attributes = dict(
        width=width,
        height=height,
        scale=scale,
        camera=','.join(f'{number / step:.6g}' for number in (fx, fy, cx, cy)),
        codes=base64.b64encode(codes.tobytes()).decode(),
        colors=base64.b64encode(np.ascontiguousarray(colors[..., ::-1]).tobytes()).decode(),
    )
    data = ' '.join(f'data-{key}="{item}"' for key, item in attributes.items())
    return (
        f'<div class="depth-cloud" {data}><canvas></canvas><div class="depth-status">'
        '<span>Drag to turn, wheel or two fingers to zoom</span>'
        '<button type="button" class="depth-reset">reset</button></div></div>'
    )


def _read_asset(name: str) -> str:
    """Return a file of the page, which lies beside this one."""
    return Path(__file__).with_name(name).read_text(encoding='utf-8')


def _placeholder() -> str:
    return (
        '<div class="depth-placeholder">Upload an image, take one with the camera, or choose an '
        'example: its depth is drawn here.</div>'
    )


def _title(facts: dict) -> str:
    """Return the head line of the page."""
    quantity = facts['prediction_type'].replace('_', ' ')
    text = f'Predicts {quantity} depth'
    if facts['prediction_type'] == 'metric' and facts['depth_range']:
        near, far = facts['depth_range']
        text += f' from {near:g} to {far:g} m'
    # An exported file does not tell its parameters.
    if facts['parameters']:
        text += f', {facts["parameters"] / 1e6:.1f} M parameters'
    return f'# {facts["name"]}\n{text}'


def _facts(facts: dict) -> str:
    """Return protocol, licence and endpoint as a table."""
    protocols = []
    for protocol in facts['protocols']:
        protocols.append(
            f'`{protocol["name"]}` ({protocol["fingerprint"]}): {protocol["description"]}'
        )
    rows = [
        ('Protocol of its scores', '<br>'.join(protocols) or 'the config names none'),
        ('Licence of the weights', facts['licence']),
        ('Weights', f'`{facts["source"]}`'),
        (
            'Endpoint',
            "`curl --data-binary @image.jpg 'http://HOST:PORT/predict?format=npy' -o depth.npy`, "
            'facts of the model: [/info](/info)',
        ),
    ]
    lines = ['| | |', '| --- | --- |']
    return '\n'.join([*lines, *(f'| **{key}** | {value} |' for key, value in rows)])


def _render_examples(folder: Path) -> list[tuple[str, float]]:
    """Render four example frames and return path and field of view of each."""
    frames = []
    for world, index in (('rooms', 0), ('rooms', 3), ('streets', 1), ('streets', 2)):
        size = (240, 320)
        frame = render_scene(world, 0, index, 'test', size)
        path = folder / f'{world}_{index}.png'
        write_image(path, frame['img'])
        focal = camera_matrix(world, size)[0][0]
        fov = 2 * np.degrees(np.arctan(size[1] / 2 / focal))
        frames.append((str(path), round(float(fov), 1)))
    return frames
