"""Checks of archives for damage, and of weights and predictions for values that are not finite."""

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from mmengine.logging import print_log
from torch import Tensor

from depth.sharded_tensors import is_sharded, local_tensor
from depth.structures import DepthDataSample

_BLOCK = 1 << 20  # bytes read at once
_LISTED = 4  # names in a message


def verify_archive(path: str | Path) -> None:
    """Compare the checksum (CRC-32) of every record of a ``torch.save`` archive with its bytes.

    ``torch.load`` does not compare them. The check takes about 0.6 s for 1 GiB. Files that are no
    zip archives, such as those of PyTorch before 1.6, have no checksums and pass.

    Raises:
        ValueError: If the file is damaged; the message names the record.
    """
    if not zipfile.is_zipfile(path):
        return
    record = 'the list of records'
    try:
        with zipfile.ZipFile(path) as archive:
            records = [info for info in archive.infolist() if info.file_size]
            # As set_crc32_options(False) of torch.serialization leaves it.
            if not any(info.CRC for info in records):
                print_log(
                    f'{path} was saved without checksums, damage cannot be noticed',
                    logger='current',
                )
                return
            for info in records:
                record = info.filename
                with archive.open(info) as stream:
                    while stream.read(_BLOCK):
                        pass
    # zipfile raises BadZipFile for damaged content, and any of the others for a damaged header.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise ValueError(
            f'checkpoint {path} is damaged in {record}: {error}; copy it again, or take an earlier '
            'checkpoint'
        ) from error


def is_finite(values: Tensor) -> bool:
    """Return whether a tensor holds neither NaN nor infinity, in one pass without a copy."""
    if not (values.is_floating_point() or values.is_complex()) or not values.numel():
        return True
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    elif values.element_size() == 1:  # 8-bit floats have no comparison
        values = values.float()
    low, high = torch.aminmax(values)
    return bool(torch.isfinite(low) & torch.isfinite(high))


def check_weights(
    state: Mapping[str, Tensor], source: str | Path, own: Mapping[str, Tensor] | None = None
) -> None:
    """Refuse weights that are not finite.

    Args:
        state: Weights by name.
        source: File of the weights, for the message.
        own: Initial values of the model. An infinity that they have too, as in an attention mask,
            is accepted; NaN never is.

    Raises:
        ValueError: If a weight is not finite; file and names are listed.
    """
    problems = []
    has_pieces = False
    for name, value in state.items():
        has_pieces |= is_sharded(value)
        value = local_tensor(value)
        if is_finite(value):
            continue
        if own is not None and name in own and _has_same_infinities(value, local_tensor(own[name])):
            continue
        values = value.detach().float().flatten()
        num_nan, num_inf = int(values.isnan().sum()), int(values.isinf().sum())
        problems.append(f'{name} ({num_nan} NaN and {num_inf} infinite of {values.numel()} values)')
    if has_pieces:  # all processes refuse together
        shared: list = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(shared, problems)
        problems = [problem for entry in shared for problem in entry]
    if problems:
        more = f' and {len(problems) - _LISTED} more' if len(problems) > _LISTED else ''
        raise ValueError(
            f'{source}: weights are not finite: {", ".join(problems[:_LISTED])}{more}; the '
            'training had diverged or the file is damaged: take an earlier checkpoint'
        )


def _has_same_infinities(value: Tensor, own: Tensor) -> bool:
    if value.shape != own.shape or bool(value.isnan().any()):
        return False
    infinite = own.isinf()
    value = value.to(own.device, own.dtype)
    return torch.equal(value.isinf(), infinite) and torch.equal(value[infinite], own[infinite])


def check_predictions(
    samples: Iterable[DepthDataSample], source: str, names: Iterable[str] | None = None
) -> None:
    """Refuse predicted depth that is not finite.

    Args:
        samples: With ``pred_depth`` in metres.
        source: The model's weights, for the message.
        names: Names of the images; by default those of the samples.

    Raises:
        ValueError: If a depth is NaN or infinite; image and model are named.
    """
    samples = list(samples)
    if names is None:
        names = [sample.metainfo.get('img_path', 'an image') for sample in samples]
    for sample, name in zip(samples, names, strict=True):
        if not is_finite(sample.pred_depth):
            bad = int((~torch.isfinite(sample.pred_depth)).sum())
            raise ValueError(
                f'{name}: {bad} of {sample.pred_depth.numel()} predicted depths are not finite, '
                f'nothing is written for it; the model ({source}) cannot be used on this image'
            )


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while chunk := file.read(_BLOCK):
            digest.update(chunk)
    return digest.hexdigest()
