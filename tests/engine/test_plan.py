"""Memory and time of a training by arithmetic: counts, closed forms, and what a command prints."""

import pytest
import torch

from depth.cli import plan as command
from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.engine.plan import (
    Group,
    Launch,
    Machine,
    ModelCounts,
    count_model,
    largest_batch,
    plan_training,
    with_options,
)
from tests.shared import REPO

MICRO = REPO / 'configs/synthetic/dinov3_dpt_micro_rooms.py'


def model_of_blocks(num_blocks=4, width=1000):
    """Return counts of a model whose blocks are square matrices, with round numbers elsewhere."""
    blocks = [Group(f'blocks.{i}', (((width, width), True),)) for i in range(num_blocks)]
    return ModelCounts(
        groups=(*blocks, Group('', (((width,), True),))),
        buffers=0,
        moments=2,
        has_average=False,
        size=(64, 64),
        forward_flops=1e12,
        train_flops=3e12,
        block_flops=1e12,
        outside_bytes=10**6,
        block_bytes=(10**7,) * num_blocks,
        block_inputs=(10**5,) * num_blocks,
    )


def test_pieces_are_those_of_chunk():
    shapes = [(5, 3), (4,), (1, 7), (2, 2, 2)]
    group = Group('', tuple((shape, True) for shape in shapes))
    for processes in (1, 2, 3, 8):
        expected = sum(torch.zeros(shape).chunk(processes)[0].numel() for shape in shapes)
        assert group.largest_piece(processes) == expected


def test_memory_of_ddp_and_fsdp2_by_hand():
    counts, machine = model_of_blocks(), Machine()
    values = 4 * 1000 * 1000 + 1000
    ddp = plan_training(counts, Launch('ddp'), 8, 2, machine)
    assert (ddp.weights, ddp.gradients, ddp.moments) == (4 * values, 4 * values, 8 * values)
    assert ddp.gathered == 0
    assert ddp.activations == 2 * (10**6 + 4 * 10**7)
    sharded = plan_training(counts, Launch('fsdp2', bf16=True, recompute=True), 8, 2, machine)
    assert sharded.weights == 4 * values / 8
    assert sharded.moments == 8 * values / 8
    # The rest with gradients; two blocks in bfloat16; gradients of one in bfloat16 and float32.
    assert sharded.gathered == 2 * 4 * 1000 + 10**6 * (2 * 2 + 2 + 4)
    assert sharded.activations == 2 * (10**6 + 10**7 // 2 + 4 * 10**5)
    offloaded = plan_training(counts, Launch('fsdp2', offload=True), 8, 2, machine)
    assert (offloaded.weights, offloaded.gradients, offloaded.moments) == (0, 0, 0)
    assert offloaded.host == 16 * values / 8


def test_time_of_a_step_by_hand():
    counts = model_of_blocks()
    machine = Machine(tflops=100, utilisation=0.3, link_utilisation=1.0, latency=0.0, overlap=0.0)
    alone = plan_training(counts, Launch('ddp', bf16=True), 1, 2, machine)
    assert alone.step == alone.compute == pytest.approx(2 * 3e12 / 30e12)
    assert alone.efficiency == 1
    many = plan_training(counts, Launch('ddp', bf16=True), 16, 2, machine)
    assert many.communication == pytest.approx(2 * 15 / 16 * 4 * 4.001e6 / 50e9)
    assert many.step == pytest.approx(many.compute + many.communication)
    inside = plan_training(counts, Launch('ddp', bf16=True), 8, 2, machine)
    assert inside.communication == pytest.approx(2 * 7 / 8 * 4 * 4.001e6 / 450e9)
    sharded = plan_training(counts, Launch('fsdp2', bf16=True), 16, 2, machine)
    moved = 2 * (1000 * 4 + 4e6 * 2) + 4.001e6 * 4
    assert sharded.communication == pytest.approx(15 / 16 * moved / 50e9)
    recomputed = plan_training(counts, Launch('ddp', bf16=True, recompute=True), 1, 2, machine)
    assert recomputed.compute / alone.compute == pytest.approx(4 / 3)
    slow = plan_training(counts, Launch('ddp'), 1, 2, with_options(machine, data_rate=1.0))
    assert slow.step == 2.0


def test_hidden_communication_costs_nothing_but_its_ends():
    machine = Machine(overlap=1.0, latency=0.0)
    counts = model_of_blocks(width=4000)
    plan = plan_training(counts, Launch('ddp', bf16=True), 8, 2, machine)
    assert 0 < plan.exposed < plan.communication  # the last bucket
    assert plan.step == pytest.approx(plan.compute + plan.exposed)


def test_the_largest_batch_is_the_last_that_fits():
    counts, launch = model_of_blocks(), Launch('fsdp2')
    machine = Machine(memory=1.0)
    batch = largest_batch(counts, launch, 8, machine)
    assert plan_training(counts, launch, 8, batch, machine).fits
    assert not plan_training(counts, launch, 8, batch + 1, machine).fits
    assert largest_batch(counts, launch, 8, Machine(memory=0.01)) == 0


def test_counts_are_those_of_a_model_with_values():
    cfg = load_config(MICRO)
    counts = count_model(cfg, (64, 96))
    model = build_without_weights(cfg).train()
    assert counts.parameters == sum(parameter.numel() for parameter in model.parameters())
    # The bytes that autograd stores on a CPU; attention is fused there too.
    storages, inputs = {}, []
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor):
        inputs.append(tensor)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(torch.zeros(1, 3, 64, 96), mode='tensor')
    counted = counts.outside_bytes + sum(counts.block_bytes)
    assert counted == pytest.approx(sum(storages.values()), rel=0.05)


def test_frozen_parameters_have_neither_gradients_nor_moments():
    cfg = load_config(MICRO, {'model.backbone.freeze': True})
    counts = count_model(cfg, (64, 64))
    head = sum(p.numel() for p in build_without_weights(cfg).decode_head.parameters())
    assert counts.trained == head
    assert counts.train_flops < 3 * counts.forward_flops
    plan = plan_training(counts, Launch('ddp'), 1, 1, Machine())
    assert plan.gradients == 4 * head


def test_the_command_says_what_fits_and_how(capsys):
    assert (
        command.main([str(MICRO), '--gpus', '1', '8', '--memory', '80', '--shape', '64', '64']) == 0
    )
    text = capsys.readouterr().out
    rows = [line for line in text.splitlines() if line.startswith(('| 1 |', '| 8 |'))]
    assert len(rows) == 14
    assert '\n8 GPUs: --strategy ' in text
    assert '80 GB a GPU' in text
    with pytest.raises(ValueError, match='--memory is positive'):
        command.main([str(MICRO), '--memory', '-1'])


def test_operations_of_blocks_are_counted_and_not_taken_from_their_parameters():
    size = (64, 96)
    counts = count_model(load_config(MICRO), size)
    # Four blocks of width 48 on 4 x 6 patches, a class token and four registers: query, key and
    # value, projection, MLP of four times the width; products of attention. 2 FLOPs a multiply-add.
    tokens, width = 4 * 6 + 5, 48
    layers = 2 * tokens * width * width * (3 + 1 + 4 + 4)
    attention = 2 * 2 * tokens * tokens * width
    assert counts.block_flops == 4 * (layers + attention)
    share = sum(group.numel() for group in counts.groups[:-1]) / counts.parameters
    assert counts.block_flops < 0.9 * share * counts.forward_flops  # the head works on more pixels


def test_the_switch_of_recomputation_names_the_network_of_the_config():
    launch = Launch('ddp', bf16=True, recompute=True)
    assert launch.switches().endswith('model.backbone.grad_checkpointing=True')
    cfg = load_config(REPO / 'configs/synthetic/depthformer_tiny_rooms.py')
    best = plan_training(model_of_blocks(), launch, 8, 2, Machine())
    line = command._advice(cfg, 8, best)
    assert 'model.backbone.backbone.grad_checkpointing=True   (' in line
    assert 'of 72 GB, ' in line
    assert command._advice(cfg, 1, None).startswith('1 GPU: nothing fits')
