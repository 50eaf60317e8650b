"""Replay of a training step that a run saved when its loss or gradient was not finite."""

from contextlib import nullcontext
from pathlib import Path

import torch

from depth.engine.checkpoint import load_checkpoint_file
from depth.engine.training_step import StepReport, batch_from_plain, image_paths, run_step_again

from .inference import init_model

DTYPES = {'torch.bfloat16': torch.bfloat16, 'torch.float16': torch.float16}


def replay_step(
    path: str | Path, device: str | torch.device = 'cpu', config: str | Path | None = None
) -> StepReport:
    """Run the saved step of a ``nonfinite_iter_N_rankR.pth`` again.

    Args:
        path: File that ``FiniteWatchHook`` wrote.
        device: Device of the model.
        config: Config to build the model from; by default the one in the file.

    Returns:
        Losses, gradient norm and the first value that is not finite.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is damaged or holds no training step.
    """
    content = load_checkpoint_file(path)
    step = content.get('step')
    if not isinstance(step, dict) or 'batch' not in step:
        raise ValueError(
            f'{path} holds no training step; the file is called nonfinite_iter_N_rankR.pth'
        )
    model = init_model(config or path, path, device)
    # In the precision of the run: a value that overflows in float16 is finite in float32.
    context = nullcontext()
    if step['autocast'] is not None:
        context = torch.autocast(torch.device(device).type, DTYPES[step['autocast']])
    batch = batch_from_plain(step['batch'])
    return run_step_again(
        model, batch, step['random_state'], step['iteration'], context, step['loss_scale']
    )


def describe_step(path: str | Path) -> list[str]:
    """Return the report that the run itself saved with its step, as lines of text."""
    step = load_checkpoint_file(path)['step']
    recorded = StepReport(losses=step['losses'], grad_norm=step['grad_norm'], first=step['first'])
    paths = ', '.join(image_paths(batch_from_plain(step['batch'])))
    lines = [f'iteration {step["iteration"] + 1}, process {step["rank"]}', f'samples: {paths}']
    return lines + recorded.lines()
