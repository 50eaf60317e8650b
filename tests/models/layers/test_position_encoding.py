import math

import pytest
import torch

from depth.models.layers import SinePositionEncoding


@pytest.mark.parametrize('normalize', [False, True])
def test_a_code_is_sines_and_cosines_of_row_then_column(normalize):
    height, width, num_feats = 3, 5, 4
    code = SinePositionEncoding(num_feats, normalize=normalize)(
        (height, width), torch.device('cpu')
    )
    assert code.shape == (1, 2 * num_feats, height, width)
    for row in range(height):
        for column in range(width):
            for axis, (position, length) in enumerate(((row + 1, height), (column + 1, width))):
                if normalize:
                    position = position / (length + 1e-6) * 2 * math.pi
                wave = [position, position, position / 100, position / 100]  # 10000 ** (2 / 4)
                expected = [
                    math.sin(wave[0]),
                    math.cos(wave[1]),
                    math.sin(wave[2]),
                    math.cos(wave[3]),
                ]
                actual = code[0, axis * num_feats : (axis + 1) * num_feats, row, column]
                torch.testing.assert_close(actual, torch.tensor(expected))
