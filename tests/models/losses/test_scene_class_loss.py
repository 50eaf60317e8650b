import numpy as np
import pytest
import torch

from depth.models.losses import SceneClassLoss
from depth.models.losses.scene_class_loss import class_accuracy, scene_labels
from depth.structures import DepthDataSample
from tests.parity.recorded import load_arrays


@pytest.mark.parametrize(('case', 'weight'), [('ce_default', 1.0), ('ce_w001', 0.01)])
def test_values_and_gradients_are_the_published_ones(case, weight):
    arrays = load_arrays('losses')
    logits, labels = (
        torch.from_numpy(arrays['class_logits']).requires_grad_(),
        torch.from_numpy(arrays['class_target']),
    )
    loss = SceneClassLoss(loss_weight=weight)(logits, labels)
    loss.backward()
    actual = [
        loss.item(),
        class_accuracy(logits, labels).item(),
        class_accuracy(logits, labels, top=5).item(),
    ]
    assert actual == pytest.approx(arrays[f'out/{case}'].tolist(), rel=1e-6)
    assert np.allclose(logits.grad.numpy(), arrays[f'out/{case}/grad'], rtol=1e-5, atol=1e-8)


def test_a_batch_of_one_has_the_loss_of_its_image():
    logits = torch.tensor([[0.5, -1.0, 2.0]])
    expected = np.log(np.exp([0.5, -1.0, 2.0]).sum()) - 2.0
    assert SceneClassLoss(loss_weight=1.0)(logits, torch.tensor([2])).item() == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize('label', [None, -1, 3])
def test_an_image_without_a_class_is_named(label):
    sample = DepthDataSample(metainfo=dict(img_path='attic/rgb_00001.jpg', scene_class=label))
    with pytest.raises(ValueError, match=r'attic/rgb_00001\.jpg: the head learns 3 scene classes'):
        scene_labels([sample], 3, torch.device('cpu'))
