import pytest
import torch
from mmengine.optim import OptimWrapper

from depth.engine.schedulers import OneCycleMomentum, OneCycleRate, WarmupCosineLR
from tests.parity.recorded import load_case

EPOCHS_24 = 24 * 1514
CASES = {
    'depthformer_swint_w7_nyu': (
        6e-5,
        (0.9, 0.999),
        [(WarmupCosineLR, dict(max_iters=38400, warmup_iters=12800))],
    ),
    'binsformer_swint_w7_nyu': (1e-4, (0.9, 0.999), [(OneCycleRate, dict(total_steps=38400))]),
    'bts_r50_nyu': (1e-4, (0.95, 0.99), [(OneCycleRate, dict(total_steps=EPOCHS_24))]),
    'adabins_nyu': (
        3.57e-4,
        (0.95, 0.99),
        [
            (OneCycleRate, dict(total_steps=EPOCHS_24)),
            (OneCycleMomentum, dict(total_steps=EPOCHS_24)),
        ],
    ),
    'dpt_nyu': (
        1e-4,
        (0.9, 0.999),
        [
            (OneCycleRate, dict(total_steps=EPOCHS_24)),
            (OneCycleMomentum, dict(total_steps=EPOCHS_24)),
        ],
    ),
}


@pytest.mark.parametrize('case', CASES)
def test_the_published_rates_and_momenta(case):
    rate, betas, recipe = CASES[case]
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=rate, betas=betas)
    schedulers = [kind(OptimWrapper(optimizer), **arguments) for kind, arguments in recipe]
    recorded = load_case('schedules')['cases'][case]
    group = optimizer.param_groups[0]
    for iteration, (expected_rate, expected_betas) in sorted(
        (int(key), value) for key, value in recorded.items()
    ):
        for scheduler in schedulers:
            scheduler.last_step = iteration - 1
            scheduler._global_step = 1  # past the check of the very first steps
            scheduler.step()
        assert group['lr'] == pytest.approx(expected_rate, rel=1e-6), iteration
        assert group['betas'] == pytest.approx(expected_betas, rel=1e-6), iteration


def test_every_group_keeps_its_own_rate_unless_the_published_mistake_is_asked_for():
    def rates(group_rates):
        parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
        optimizer = torch.optim.SGD(
            [dict(params=[p], lr=lr) for p, lr in zip(parameters, (1.0, 10.0), strict=True)]
        )
        OneCycleRate(OptimWrapper(optimizer), total_steps=100, group_rates=group_rates)
        return [group['lr'] for group in optimizer.param_groups]

    assert rates(True) == pytest.approx([0.04, 0.4])
    assert rates(False) == pytest.approx([0.04, 0.04])
