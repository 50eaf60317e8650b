"""The switches: same values, same gradients, and what cannot be had is refused in words."""

import warnings

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from benchmarks.graphs import count_compilations
from depth.engine.acceleration import (
    compile_losses,
    compile_method,
    compile_options,
    recompute_activations,
    speed_up_inference,
    use_channels_last,
)
from depth.engine.cuda_graph import CudaGraphs
from depth.models.backbones import TimmBackbone
from depth.models.losses import SILogLoss

SWIN = dict(
    model_name='swin_tiny_patch4_window7_224',
    out_indices=(0,),
    model_args=dict(embed_dim=8, depths=(2, 2, 2, 2), num_heads=(1, 1, 1, 1), window_size=4),
)


class Tiny(nn.Module):
    """A backbone with BatchNorm and dropout, and a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2)
        )
        self.head = nn.Conv2d(8, 1, 1)

    def predict_depth(self, inputs, data_samples=None):
        return self.head(self.backbone(inputs))


def images(height=16, width=24):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def trained(model):
    """Return loss, gradients and buffers of one training step."""
    model.train()
    torch.manual_seed(2)
    loss = model.predict_depth(images()).square().mean()
    loss.backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {'loss': loss.detach()} | grads | dict(model.named_buffers())


@pytest.mark.parametrize('parts', ['backbone', ['backbone', 'head'], ['backbone.1']])
def test_recomputing_changes_neither_gradients_nor_statistics(parts):
    expected = trained(Tiny())
    model = Tiny()
    calls = []
    model.backbone[0].register_forward_hook(lambda *_: calls.append(1))
    recompute_activations(model, parts)
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # of gradients that would be missing
        actual = trained(model)
    assert len(calls) == (1 if parts == ['backbone.1'] else 2)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name
    assert model.backbone[1].momentum == 0.1


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="no part 'neck', only backbone, head"):
        recompute_activations(Tiny(), 'neck')


def test_channels_last_reaches_weights_and_features_and_changes_no_value():
    plain, model = Tiny().eval(), Tiny().eval()
    use_channels_last(model)
    layouts = []
    model.head.register_forward_pre_hook(lambda _, args: layouts.append(args[0]))
    with torch.no_grad():
        torch.testing.assert_close(model.predict_depth(images()), plain.predict_depth(images()))
    assert layouts[0].is_contiguous(memory_format=torch.channels_last)
    assert model.backbone[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_what_compile_stands_for():
    assert compile_options(None) is compile_options(False) is None
    assert compile_options(True) == dict(dynamic=False)
    assert compile_options(dict(mode='reduce-overhead', dynamic=None)) == dict(
        mode='reduce-overhead', dynamic=None
    )
    with pytest.raises(ValueError, match="got 'yes'"):
        compile_options('yes')


def test_a_method_is_compiled_once_a_size_and_not_without_end():
    model = Tiny().eval()
    compile_method(model, 'predict_depth', dict(backend='eager'))
    torch.testing.assert_close(model.predict_depth(images()), Tiny().eval().predict_depth(images()))
    sizes = [images(8 + 4 * number) for number in range(3)]
    plain = Tiny().eval()
    assert count_compilations(lambda batch: plain.predict_depth(batch), sizes * 2) == 3
    limit = torch._dynamo.config.recompile_limit
    many = [images(4 + number) for number in range(limit + 3)]
    assert count_compilations(lambda batch: plain.predict_depth(batch), many) == limit


def test_a_warm_up_is_one_graph_before_and_one_after():
    class Losses(Tiny):
        def __init__(self):
            super().__init__()
            self.silog = SILogLoss(warm_up=True, warm_iter=3)

        def loss(self, inputs):
            depth = self.predict_depth(inputs).exp()
            return self.silog(depth, 2 + inputs[:, :1].abs(), inputs[:, :1] > 0)

    hub = MessageHub.get_current_instance()
    compiled, plain = Losses().eval(), Losses().eval()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    compile_losses(compiled, dict(backend=backend, fullgraph=True))
    losses, expected = [], []
    for iteration in range(5):
        hub.update_info('iter', iteration)
        losses.append(compiled.loss(images()).item())
        expected.append(plain.loss(images()).item())
    hub.update_info('iter', 0)
    torch.compiler.reset()
    assert losses == pytest.approx(expected)
    assert expected[2] != expected[3]
    assert len(graphs) == 2


def test_swin_is_compiled_once_a_size():
    backbone = TimmBackbone(**SWIN).eval()
    sizes = [images(20, 24), images(24, 36)]
    with torch.inference_mode():
        assert count_compilations(lambda batch: backbone(batch)[0], sizes * 2) == 2


def test_autocast_acts_on_predictions():
    plain, model = Tiny().eval(), Tiny().eval()
    speed_up_inference(model, dict(autocast='bfloat16'))
    with torch.no_grad():
        actual, expected = model.predict_depth(images()), plain.predict_depth(images())
    assert actual.dtype == torch.bfloat16
    torch.testing.assert_close(actual.float(), expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(cuda_graph=True), 'needs a CUDA device, but the model is on cpu'),
        (dict(autocast='int8'), "bfloat16 or float16, got 'int8'"),
        (dict(jit=True), "no option 'jit', only autocast, compile, cuda_graph and validation"),
        (dict(compile='fast'), "got 'fast'"),
    ],
)
def test_what_cannot_be_had_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        speed_up_inference(Tiny(), options)


def test_no_options_change_nothing():
    model = Tiny()
    for options in (None, {}, dict(autocast=None, compile=False, cuda_graph=False)):
        speed_up_inference(model, options)
    assert 'predict_depth' not in vars(model)


def test_one_graph_a_size_is_recorded_and_no_more_than_agreed():
    recorded = []

    def record(predict, inputs, *samples):
        recorded.append(tuple(inputs.shape))
        return lambda batch: predict(batch, *samples) + 100

    graphs = CudaGraphs(lambda inputs, samples=None: inputs * 2, most=2, record=record)
    one, other, third = torch.ones(1), torch.ones(2), torch.ones(3)
    assert graphs(one, ['a']).item() == graphs(one, ['b']).item() == 102
    assert graphs(other).tolist() == [102, 102]
    assert graphs(third).tolist() == [2, 2, 2]
    assert recorded == [(1,), (2,)]


def test_a_method_that_reads_its_samples_is_not_recorded():
    def record(predict, inputs, *samples):
        predict(inputs, *samples)

    for read in (lambda samples: samples[0], lambda samples: list(samples)):
        graphs = CudaGraphs(lambda inputs, samples, read=read: read(samples), record=record)
        with pytest.raises(ValueError, match='this one reads its data samples'):
            graphs(torch.ones(1), ['camera'])
