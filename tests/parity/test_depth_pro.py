"""Depth Pro: published names, a second implementation, recorded pre- and postprocessing."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from depth.engine.converters import convert_official
from depth.engine.converters.convert import build_without_weights, compare
from depth.models.backbones.depth_pro_encoder import merge_windows, split_windows
from depth.structures import DepthDataSample
from tests.shared import SEED

from .cases import load_arrays, load_case, model_shapes, relative_error, shipped_config
from .recorded import draw_noise, published_state

PRE_POST = load_case('foundation_pre_post')['depth_pro']
# Widths of the recorded small model by those of the published large one, and of a narrow one.
LARGE = {384: 1024, 1152: 3072, 1536: 4096, 768: 2048, 577: 577}
LARGE |= {48: 256, 64: 256, 96: 512, 192: 1024, 32: 128, 16: 64, 8: 32}
NARROW = {384: 48, 1152: 144, 1536: 192, 768: 96, 577: 65}
NARROW |= {48: 8, 64: 16, 96: 48, 192: 48, 32: 8, 16: 4, 8: 2}
NARROW_WINDOW, NARROW_PATCH = 32, 4


def published_shapes(widths, depth, patch=16, fov_kernel=6):
    """Return the published names and shapes with other widths and numbers of blocks."""
    small = load_case('depthpro_vits')['state_dict']
    shapes = {}
    for name, shape in small.items():
        # Kernel sizes, the image's three channels and single outputs stay as they are.
        new = [widths.get(size, size) if axis < 2 else size for axis, size in enumerate(shape)]
        if name.endswith(('cls_token', 'pos_embed')):
            new = [1, shape[1] if shape[1] == 1 else widths[577], widths[384]]
        if name.startswith('head.2.'):
            new[0] = 32  # of every size
        if name == 'head.4.weight':
            new[1] = 32
        if name.endswith('patch_embed.proj.weight'):
            new[2:] = [patch, patch]
        if name == 'fov.head.4.weight':
            new[2:] = [fov_kernel, fov_kernel]
        if '.blocks.' not in name:
            shapes[name] = new
        elif '.blocks.0.' in name:
            for block in range(depth):
                shapes[name.replace('.blocks.0.', f'.blocks.{block}.')] = new
    return shapes


def narrow_config():
    """Return the tiny config with the widths of NARROW."""
    cfg = shipped_config('synthetic/depth_pro_tiny_rooms.py')
    cfg.model.backbone.update(
        window=NARROW_WINDOW, patch_size=NARROW_PATCH, channels=(8, 48, 48, 48), decoder_channels=16
    )
    cfg.model.decode_head.update(in_channels=(16, 8, 48, 48, 48), channels=16)
    return cfg


@pytest.mark.parametrize(('size', 'widths', 'depth'), [('vits', {}, 12), ('vitl', LARGE, 24)])
def test_published_names_fill_the_shipped_model(size, widths, depth):
    shapes = load_case('depthpro_vits')['state_dict']
    if widths:
        shapes = published_shapes(widths, depth)
    published = {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}
    converted = convert_official('depth_pro', published)
    assert compare(converted, model_shapes(shipped_config(f'depth_pro/depth_pro_{size}.py'))) == ''
    with pytest.raises(ValueError, match='fov_head'):
        convert_official('depth_pro', published | {'fov_head.weight': torch.zeros(1)})


def test_the_large_model_maps_its_image_to_one_of_equal_size():
    with torch.device('meta'):
        model = build_without_weights(shipped_config('depth_pro/depth_pro_vitl.py')).eval()
        outputs = model.decode_head(model.extract_feat(torch.empty(1, 3, 480, 640)))
    assert outputs['inverse_depth'].shape == (1, 1, 1536, 1536)
    assert outputs['fov'].shape == (1,)


class SecondImplementation:
    """Depth Pro in plain functions on the published names.

    Args:
        state: Published state dict.
        window: Side of a window in pixels.
        patch: Side of a patch in pixels.
        num_heads: Attention heads of the ViTs.
        hooks: Blocks of the two finest levels.
    """

    def __init__(self, state, window, patch, num_heads, hooks):
        self.state, self.window, self.patch = state, window, patch
        self.num_heads, self.hooks, self.grid = num_heads, hooks, window // patch

    def linear(self, x, name):
        return x @ self.state[f'{name}.weight'].T + self.state[f'{name}.bias']

    def norm(self, x, name):
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        scaled = (x - mean) / torch.sqrt(variance + 1e-6)
        return scaled * self.state[f'{name}.weight'] + self.state[f'{name}.bias']

    def conv(self, x, name, stride=1, transposed=False):
        weight, bias = self.state[f'{name}.weight'], self.state.get(f'{name}.bias')
        if transposed:
            return F.conv_transpose2d(x, weight, bias, stride=2)
        padding = 1 if weight.shape[-1] == 3 else 0
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)

    def vit(self, images, prefix):
        """Return the maps of all blocks, and of the final norm."""
        embed = f'{prefix}.patch_embed.proj'
        tokens = F.conv2d(
            images, self.state[f'{embed}.weight'], self.state[f'{embed}.bias'], stride=self.patch
        )
        tokens = tokens.flatten(2).transpose(1, 2)
        class_token = self.state[f'{prefix}.cls_token'].expand(len(tokens), -1, -1)
        tokens = torch.cat([class_token, tokens], dim=1) + self.state[f'{prefix}.pos_embed']
        outputs, block = [], 0
        while f'{prefix}.blocks.{block}.norm1.weight' in self.state:
            name = f'{prefix}.blocks.{block}'
            mixed = self.attend(self.norm(tokens, f'{name}.norm1'), f'{name}.attn')
            tokens = tokens + self.state[f'{name}.ls1.gamma'] * mixed
            hidden = F.gelu(self.linear(self.norm(tokens, f'{name}.norm2'), f'{name}.mlp.fc1'))
            mixed = self.linear(hidden, f'{name}.mlp.fc2')
            tokens = tokens + self.state[f'{name}.ls2.gamma'] * mixed
            outputs.append(tokens)
            block += 1
        outputs.append(self.norm(tokens, f'{prefix}.norm'))
        size = (self.grid, self.grid)
        return [output[:, 1:].transpose(1, 2).unflatten(2, size) for output in outputs]

    def attend(self, x, name):
        q, k, v = self.linear(x, f'{name}.qkv').chunk(3, dim=-1)
        heads = []
        for q_head, k_head, v_head in zip(
            *(part.chunk(self.num_heads, dim=-1) for part in (q, k, v)), strict=True
        ):
            scores = q_head @ k_head.transpose(1, 2) / math.sqrt(q_head.shape[-1])
            heads.append(scores.softmax(-1) @ v_head)
        return self.linear(torch.cat(heads, dim=-1), f'{name}.proj')

    def windows(self, images, count, stride):
        cut = []
        for top in range(count):
            for left in range(count):
                rows = slice(top * stride, top * stride + self.window)
                columns = slice(left * stride, left * stride + self.window)
                cut.append(images[:, :, rows, columns])
        return cut

    def merge(self, maps, count, cut):
        """Paste maps of windows, each without its overlaps, onto an empty map."""
        step = self.grid - 2 * cut
        side = step * count + 2 * cut
        merged = maps[0].new_zeros(*maps[0].shape[:2], side, side)
        for index, values in enumerate(maps):
            top, left = (step * cell for cell in divmod(index, count))
            first_row, first_column = cut if top else 0, cut if left else 0
            merged[
                :, :, top + first_row : top + self.grid, left + first_column : left + self.grid
            ] = values[:, :, first_row:, first_column:]
        return merged

    def upsample(self, x, name, doublings):
        x = self.conv(x, f'encoder.{name}.0')
        for index in range(doublings):
            x = self.conv(x, f'encoder.{name}.{index + 1}', transposed=True)
        return x

    def residual(self, x, name):
        hidden = self.conv(F.relu(x), f'{name}.residual.1')
        return x + self.conv(F.relu(hidden), f'{name}.residual.3')

    def __call__(self, image):
        """Map one image (1, 3, S, S) to canonical inverse depth and field of view."""
        half = F.avg_pool2d(image, 2)  # bilinear at half size, without antialiasing
        quarter = F.avg_pool2d(image[..., 1:-1, 1:-1], 2, stride=4)
        fine = self.windows(image, 5, self.window * 3 // 4)
        medium = self.windows(half, 3, self.window // 2)
        maps = [self.vit(part, 'encoder.patch_encoder') for part in [*fine, *medium, quarter]]
        cut = self.grid // 8
        first, second = self.hooks
        levels = [
            self.upsample(self.merge([m[first] for m in maps[:25]], 5, cut), 'upsample_latent0', 3),
            self.upsample(
                self.merge([m[second] for m in maps[:25]], 5, cut), 'upsample_latent1', 2
            ),
            self.upsample(self.merge([m[-1] for m in maps[:25]], 5, cut), 'upsample0', 1),
            self.upsample(self.merge([m[-1] for m in maps[25:34]], 3, 2 * cut), 'upsample1', 1),
        ]
        coarse = self.upsample(maps[34][-1], 'upsample2', 1)
        context = self.vit(quarter, 'encoder.image_encoder')[-1]
        context = self.conv(context, 'encoder.upsample_lowres', transposed=True)
        levels.append(self.conv(torch.cat([coarse, context], dim=1), 'encoder.fuse_lowres'))
        coarsest = self.conv(levels[4], 'decoder.convs.4')
        x = self.residual(coarsest, 'decoder.fusions.4.resnet2')
        x = self.conv(x, 'decoder.fusions.4.deconv', transposed=True)
        x = self.conv(x, 'decoder.fusions.4.out_conv')
        for level in (3, 2, 1, 0):
            name = f'decoder.fusions.{level}'
            skip = self.conv(levels[level], f'decoder.convs.{level}') if level else levels[0]
            x = self.residual(x + self.residual(skip, f'{name}.resnet1'), f'{name}.resnet2')
            x = self.conv(x, f'{name}.deconv', transposed=True) if level else x
            x = self.conv(x, f'{name}.out_conv')
        x = self.conv(self.conv(x, 'head.0'), 'head.1', transposed=True)
        inverse_depth = F.relu(self.conv(F.relu(self.conv(x, 'head.2')), 'head.4'))
        tokens = self.vit(quarter, 'fov.encoder.0')[-1].flatten(2).transpose(1, 2)
        fov = self.linear(tokens, 'fov.encoder.1').transpose(1, 2).unflatten(2, (self.grid,) * 2)
        fov = fov + F.relu(self.conv(coarsest, 'fov.downsample.0', stride=2))
        fov = F.relu(self.conv(fov, 'fov.head.0', stride=2))
        fov = F.relu(self.conv(fov, 'fov.head.2', stride=2))
        return inverse_depth, self.conv(fov, 'fov.head.4').flatten()


def test_a_second_implementation_gives_the_same_depth_and_field_of_view():
    shapes = published_shapes(NARROW, depth=4, patch=NARROW_PATCH, fov_kernel=2)
    factors = {name: 10.0 for name in shapes if name.endswith('pos_embed')}
    published = published_state(dict(state_dict=shapes, overrides=factors))
    state = {name: torch.from_numpy(value) for name, value in published.items()}
    model = build_without_weights(narrow_config()).eval()
    model.load_state_dict(convert_official('depth_pro', state))
    image = torch.from_numpy(draw_noise((1, 3, 4 * NARROW_WINDOW, 4 * NARROW_WINDOW), 0))
    second = SecondImplementation(state, NARROW_WINDOW, NARROW_PATCH, num_heads=3, hooks=(1, 2))
    with torch.inference_mode():
        inverse_depth, fov = second(image)
        outputs = model.decode_head(model.extract_feat(image))
        main = model(image, mode='tensor')
    assert (inverse_depth > 0).float().mean() > 0.1  # not all behind the last ReLU
    assert relative_error(outputs['inverse_depth'].numpy(), inverse_depth.numpy()) < 1e-5
    assert relative_error(outputs['fov'].numpy(), fov.numpy()) < 1e-5
    assert main.shape == (1, 1, 128, 128)


def test_merged_windows_of_a_ramp_are_the_ramp():
    ramp = torch.arange(24.0).expand(2, 1, 24, 24)
    fine = split_windows(ramp, 8, 0.5)
    assert fine.shape == (25 * 2, 1, 8, 8)
    assert torch.equal(merge_windows(fine, 2, 5, 0.5), ramp)


@pytest.fixture(scope='module')
def narrow_model():
    return build_without_weights(narrow_config()).eval()


@pytest.mark.parametrize('name', list(PRE_POST['cases']))
def test_input_focal_length_and_depth_are_the_published_ones(name, narrow_model, monkeypatch):
    case, arrays = PRE_POST['cases'][name], load_arrays('foundation_pre_post')
    rgb = arrays[f'input/{name.split("/")[1]}']
    height, width = case['depth']
    noise = torch.from_numpy(draw_noise((1, 1, 1536, 1536), 12))
    stretched = []

    def encode(images):
        stretched.append(images)

    outputs = dict(inverse_depth=(0.2 + 0.1 * noise).clamp(min=0), fov=torch.tensor([52.5]))
    monkeypatch.setattr(narrow_model.backbone, 'image_size', 1536)
    monkeypatch.setattr(narrow_model.backbone, 'forward', encode)
    monkeypatch.setattr(narrow_model.decode_head, 'forward', lambda feats: outputs)
    bgr = torch.from_numpy(np.ascontiguousarray(rgb[..., ::-1].transpose(2, 0, 1)))
    sample = DepthDataSample(metainfo=dict(ori_shape=(height, width), img_shape=(height, width)))
    if case['f_px_given'] is not None:
        focal = case['f_px_given']
        sample.intrinsics = torch.tensor([[focal, 0, 100], [0, focal, 80], [0, 0, 1]])
    data = narrow_model.data_preprocessor(dict(inputs=[bgr], data_samples=[sample]))
    (sample,) = narrow_model(**data, mode='predict')
    if case['network_input'] != 'as above':
        places = np.linspace(0, stretched[0].numel() - 1, 64).astype(int)
        expected = arrays[f'{name}/network_input/samples']
        assert relative_error(stretched[0].numpy().ravel()[places], expected) < 1e-4
    assert sample.pred_intrinsics[0, 0].item() == pytest.approx(case['focallength_px'], rel=1e-5)
    depth = sample.pred_depth.numpy()
    places = np.linspace(0, depth.size - 1, 64).astype(int)
    assert relative_error(depth.ravel()[places], arrays[f'{name}/depth/samples']) < 1e-4
    stats = [depth.mean(), depth.std(), depth.min(), depth.max()]
    assert relative_error(np.array(stats), arrays[f'{name}/depth/stats']) < 1e-4


def test_a_step_trains_every_parameter_and_lowers_the_loss():
    torch.manual_seed(SEED)
    model = build_without_weights(narrow_config()).train()
    model.decode_head.init_depth_bias(3.0)
    sample = DepthDataSample(metainfo=dict(img_shape=(24, 32), ori_shape=(24, 32)))
    sample.gt_depth = torch.linspace(2, 4, 32).expand(24, 32).clone()
    sample.gt_depth[:4] = 0  # holes
    sample.intrinsics = torch.tensor([[30.0, 0, 15.5], [0, 30, 11.5], [0, 0, 1]])
    image = torch.randn(1, 3, 24, 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses, reached = [], set()
    for _ in range(3):
        values = model(image, [sample], mode='loss')
        loss = sum(values.values())
        optimizer.zero_grad()
        loss.backward()
        reached |= {name for name, p in model.named_parameters() if p.grad.any()}
        optimizer.step()
        losses.append(loss.item())
    assert set(values) == {'loss_depth', 'loss_fov'}
    assert reached == {name for name, _ in model.named_parameters()}
    assert losses[-1] < losses[0]


def test_an_image_without_a_camera_cannot_be_trained_on(narrow_model):
    sample = DepthDataSample(metainfo=dict(img_path='a.png'), gt_depth=torch.ones(8, 8))
    with pytest.raises(ValueError, match=r'a\.png has no camera'):
        narrow_model.decode_head.loss({}, torch.ones(1, 1, 8, 8), [sample])


def test_the_trimmed_error_leaves_the_largest_ones_out():
    from depth.models.losses import trimmed_l1_loss

    pred = torch.tensor([1.0, 2, 3, 100, 7]).view(1, 1, 1, 5)
    mask = torch.tensor([True, True, True, True, False]).view(1, 1, 1, 5)
    target = torch.zeros(1, 1, 1, 5)
    assert trimmed_l1_loss(pred, target, mask, trim=0.2).item() == pytest.approx(2)  # 1, 2, 3
    assert trimmed_l1_loss(pred, target, mask, trim=0.0).item() == pytest.approx(106 / 4)
    assert trimmed_l1_loss(pred, target, mask & False, trim=0.2).item() == 0
