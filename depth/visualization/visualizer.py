"""Visualizer that groups the names of scalars, and backends that continue the curves of a run."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.visualization import BaseVisBackend
from mmengine.visualization import MLflowVisBackend as MMEngineMLflowVisBackend
from mmengine.visualization import TensorboardVisBackend as MMEngineTensorboardVisBackend
from mmengine.visualization import Visualizer as MMEngineVisualizer
from mmengine.visualization import WandbVisBackend as MMEngineWandbVisBackend
from mmengine.visualization.vis_backend import force_init_env

from depth.registry import VISBACKENDS, VISUALIZERS

from .local_backend import LocalVisBackend

TENSORBOARD_FOLDER = 'tensorboard'  # below the work dir, of all starts of a training


@VISUALIZERS.register_module()
class Visualizer(MMEngineVisualizer):
    """mmengine's visualizer whose scalars are grouped: ``train/loss``, ``val/abs_rel``.

    The local backend keeps the plain names in ``scalars.json``.

    Arguments as in mmengine.
    """

    _group = ''

    @contextlib.contextmanager
    def in_group(self, name: str) -> Iterator[None]:
        """Put the name of a group before those of the scalars that are added in the block."""
        self._group = f'{name}/'
        try:
            yield
        finally:
            self._group = ''

    @master_only
    def add_scalars(
        self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs
    ) -> None:
        """Add scalars by name at a step; arguments as in mmengine."""
        grouped = {f'{self._group}{name}': value for name, value in scalar_dict.items()}
        for backend in self._vis_backends.values():
            values = scalar_dict if isinstance(backend, LocalVisBackend) else grouped
            backend.add_scalars(values, step, file_path, **kwargs)

    @master_only
    def start_training(self, work_dir: str | Path, step: int, run_id: str | None = None) -> None:
        """Let the backends continue the curves of the work dir.

        Args:
            work_dir: Folder of all starts of the training.
            step: Iterations that are done, 0 for a new training.
            run_id: Id of the training, the same at every start; None if it has none.
        """
        for backend in self._vis_backends.values():
            if isinstance(backend, TensorboardVisBackend):
                backend.continue_from(Path(work_dir, TENSORBOARD_FOLDER), step)
            elif isinstance(backend, WandbVisBackend) and run_id is not None:
                backend.continue_run(run_id, Path(work_dir).resolve().name)


@VISBACKENDS.register_module()
class TensorboardVisBackend(MMEngineTensorboardVisBackend):
    """TensorBoard backend in which a resumed training continues its curve.

    All starts of a training write into one folder. What an earlier start logged behind the
    checkpoint that this one resumes from is hidden, because it is logged again.

    Arguments as in mmengine.
    """

    def continue_from(self, folder: str | Path, step: int) -> None:
        """Write to ``folder`` from now on, and hide what it holds after ``step`` iterations."""
        from torch.utils.tensorboard import SummaryWriter

        self.close()
        # TensorBoard drops the events of a folder from this step on.
        self._tensorboard = SummaryWriter(str(folder), purge_step=step + 1)
        self._env_initialized = True


class _ScalarBackend:
    """Scalars of a backend whose library takes numbers by name, as its ``log_scalars`` does."""

    def add_scalar(self, name: str, value: float, step: int = 0, **kwargs) -> None:
        """Store one number."""
        self.log_scalars({name: float(value)}, step)

    def add_scalars(
        self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs
    ) -> None:
        """Store numbers by name."""
        self.log_scalars({name: float(value) for name, value in scalar_dict.items()}, step)


@VISBACKENDS.register_module()
class WandbVisBackend(_ScalarBackend, MMEngineWandbVisBackend):
    """Backend of Weights & Biases in which a resumed training continues its run.

    Values have the iteration as their step, where mmengine counts calls. W&B drops steps before the
    last one that it has: what an earlier start logged behind the checkpoint is there once.

    Args:
        save_dir: Folder of the start, given by the visualizer.
        init_kwargs: Arguments of ``wandb.init``, such as ``project``.
        define_metric_cfg: As in mmengine.
        log_code_name: Name under which the code of the working directory is uploaded.
        watch_kwargs: As in mmengine.
    """

    def __init__(
        self,
        save_dir: str,
        init_kwargs: dict | None = None,
        define_metric_cfg: dict | list | None = None,
        log_code_name: str | None = None,
        watch_kwargs: dict | None = None,
    ) -> None:
        super().__init__(
            save_dir,
            init_kwargs=init_kwargs,
            define_metric_cfg=define_metric_cfg,
            log_code_name=log_code_name,
            watch_kwargs=watch_kwargs,
        )
        self._config: Config | None = None

    def continue_run(self, run_id: str, name: str) -> None:
        """Give the run of a training its id, the same at every start, and its name.

        Args:
            run_id: Id of the training.
            name: Name to show, unless ``init_kwargs`` have one.
        """
        options = dict(id=run_id, name=name, resume='allow')
        self._init_kwargs = options | (self._init_kwargs or {})

    def add_config(self, config: Config, **kwargs) -> None:
        """Keep the config until the run is opened: its id is not known yet.

        Raises:
            ImportError: If wandb is missing.
        """
        # Here and not in the constructor: mmengine builds visualizers under a lock, which an
        # exception leaves locked for all other threads.
        try:
            import wandb  # noqa: F401
        except ImportError as error:
            raise ImportError(
                'WandbVisBackend needs wandb, which is not installed: pip install wandb'
            ) from error
        self._config = config

    def _init_env(self) -> None:
        super()._init_env()
        if self._config is not None:
            # A resumed training may have other values, such as its length.
            self._wandb.config.update(self._config.to_dict(), allow_val_change=True)
        if self._log_code_name is not None:
            self._wandb.run.log_code(name=self._log_code_name)

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Store an image, RGB uint8 (H, W, 3)."""
        self._wandb.log({name: self._wandb.Image(image)}, step=step, commit=False)

    @force_init_env
    def log_scalars(self, values: dict[str, float], step: int) -> None:
        """Store numbers by name."""
        self._wandb.log(values, step=step)

    def close(self) -> None:
        """End the run."""
        if getattr(self, '_env_initialized', False):
            self._wandb.finish()
            self._env_initialized = False


@VISBACKENDS.register_module()
class MLflowVisBackend(MMEngineMLflowVisBackend):
    """mmengine's MLflow backend that takes the panels of this toolbox.

    Arguments as in mmengine. Without ``tracking_uri`` the run is stored in ``mlflow.db`` of the log
    folder, which ``mlflow ui --backend-store-uri sqlite:///.../mlflow.db`` shows.
    """

    def _init_env(self) -> None:
        if self._tracking_uri is None:
            # mmengine's default, a folder of files, is refused by MLflow from version 3.
            folder = Path(self._save_dir).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            self._tracking_uri = f'sqlite:///{folder}/mlflow.db'
            if self._artifact_location is None:
                self._artifact_location = (folder / 'mlflow_files').as_uri()
        super()._init_env()

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Store an image, RGB uint8 (H, W, 3), as a file of its name and step."""
        self._mlflow.log_image(np.ascontiguousarray(image), f'{name}_{step}.png')


@VISBACKENDS.register_module()
class TrackioVisBackend(_ScalarBackend, BaseVisBackend):
    """Backend of trackio, which stores the scalars of runs on this machine.

    Args:
        save_dir: Folder of the start, given by the visualizer; not used, trackio has its own folder
            (``TRACKIO_DIR``).
        project: Name of the project.
        run: Name of the run; by default that of the work dir, so that a resumed training continues
            it.
        init_kwargs: Further arguments of ``trackio.init``.
    """

    def __init__(
        self,
        save_dir: str,
        project: str = 'depth-toolbox',
        run: str | None = None,
        init_kwargs: dict | None = None,
    ) -> None:
        super().__init__(save_dir)
        self.project = project
        self.run = run
        self.init_kwargs = dict(init_kwargs or {})
        self._trackio = None

    def _init_env(self) -> None:
        try:
            import trackio
        except ImportError as error:
            raise ImportError(
                'TrackioVisBackend needs trackio, which is not installed: pip install trackio'
            ) from error
        # The folder is WORK_DIR/TIMESTAMP/vis_data.
        run = self.run or Path(self._save_dir).resolve().parents[1].name
        options = dict(resume='allow') | self.init_kwargs
        trackio.init(project=self.project, name=run, **options)
        self._trackio = trackio

    @property
    @force_init_env
    def experiment(self) -> object:
        """The module ``trackio`` with the run open."""
        return self._trackio

    @force_init_env
    def add_config(self, config: Config, **kwargs) -> None:
        """Open the run; the config is in the work dir."""

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Store an image, RGB uint8 (H, W, 3)."""
        picture = self._trackio.Image(np.ascontiguousarray(image))
        self._trackio.log({name: picture}, step=step)

    @force_init_env
    def log_scalars(self, values: dict[str, float], step: int) -> None:
        """Store numbers by name."""
        self._trackio.log(values, step=step)

    def close(self) -> None:
        """End the run."""
        if self._trackio is not None:
            self._trackio.finish()
            self._trackio = None
