"""The verbs of the ``xbarsim`` command that train networks: train and search."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mapping.cost.tables import with_interval
from xbarsim.errors import ParameterError
from xbarsim.intervals import wilson
from xbarsim.outputs import console, picture, writable, write_picture, write_text

if TYPE_CHECKING:
    import numpy as np
    from rich.progress import Progress

    from mapping.networks.spec import NetworkSpec

    Data = tuple[np.ndarray, np.ndarray]

_SWITCHES = {"membranes": "clip", "weights": "clip_weights", "gradients": "clip_gradients"}
RecipeOption = Annotated[str, typer.Option(help="Name or .toml file of data set, network and training.")]
TestOption = Annotated[
    str | None, typer.Option(help="Of the test images, where the data set is an .npz file, which holds one set only.")
]
AxesOption = Annotated[
    str | None, typer.Option(help="Order of the axes in .npz files, from n, t, c, h, w: tnchw, ntchw, ...")
]
FolderOption = Annotated[Path | None, typer.Option(help="Local folder with the IDX files of a named data set.")]
DatasetOption = Annotated[
    str | None, typer.Option(help="Name, folder with IDX files, or .npz file.", show_default="the recipe's")
]


def _recipes(help_text: str, panel: str) -> Any:
    """Return an option that is the recipe's unless given."""
    return typer.Option(help=help_text, rich_help_panel=panel, show_default=False)


network, training = partial(_recipes, panel="Network"), partial(_recipes, panel="Training")


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    recipe: RecipeOption = "mnist-bsnn",
    dataset: DatasetOption = None,
    test_dataset: TestOption = None,
    folder: FolderOption = None,
    axes: AxesOption = None,
    weights: Annotated[str | None, network("binary, ternary, float, or a number of bits.")] = None,
    beta: Annotated[float | None, network("Membrane decay per step.")] = None,
    threshold: Annotated[float | None, network("Firing threshold.")] = None,
    slope: Annotated[float | None, network("Slope k of the surrogate gradient.")] = None,
    reset_mechanism: Annotated[str | None, network("subtract, zero or none.")] = None,
    clip: Annotated[bool | None, network("Keep membranes inside plus/minus the threshold.")] = None,
    learn_beta: Annotated[bool | None, network("Train the decay of each layer.")] = None,
    winner_take_all: Annotated[bool | None, network("One spike per position and step.")] = None,
    inhibition: Annotated[float | None, network("Lateral inhibition by a spike, in thresholds.")] = None,
    dropout: Annotated[float | None, network("On the current into the last layer.")] = None,
    t_steps: Annotated[int | None, network("Time steps.")] = None,
    t_steps_training: Annotated[int | None, training("Time steps while training, if fewer.")] = None,
    shift: Annotated[int | None, training("Move images at random by up to so many pixels.")] = None,
    encoding: Annotated[str | None, network("direct, rate or latency.")] = None,
    decoder: Annotated[str | None, network("count, first-spike or membrane; the loss goes with it.")] = None,
    epochs: Annotated[int | None, training("Passes over the training set.")] = None,
    batch_size: Annotated[int | None, training("Images per step.")] = None,
    learning_rate: Annotated[float | None, training("Adam's.")] = None,
    schedule: Annotated[str | None, training("cosine or constant.")] = None,
    validation: Annotated[
        int | None, training("Training images held out to choose the epoch; 0: the last one.")
    ] = None,
    patience: Annotated[int | None, training("Stop after so many epochs without gain in validation.")] = None,
    max_grad_norm: Annotated[float | None, training("Scale gradients down to this norm.")] = None,
    clip_weights: Annotated[bool | None, training("Keep real weights in [-1, 1].")] = None,
    activity_l1: Annotated[float | None, training("Cost of the average spike rate of each layer.")] = None,
    activity_l2: Annotated[float | None, training("Cost of its average square.")] = None,
    seed: Annotated[int | None, training("Of all that is drawn.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder to save to after each epoch, and resume from.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto (CUDA where there is one), cpu or cuda.")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the record to this file.")] = None,
) -> None:
    """Train a network of the paper, or one's own, and store it with its test accuracy.

    Without other options this is the BSNN of tables 2 and 3 of Eshraghian et al. 2022 on MNIST.
    """
    import mapping as mp
    from mapping.inputs.arrays import told
    from mapping.inputs.datasets import NAMED
    from mapping.networks.spec import NetworkSpec
    from mapping.training.settings import TrainingSettings

    if out.suffix != ".safetensors":
        raise ParameterError(f"{out}: the file to write must end in .safetensors")
    writable(out)
    writable(json_file)
    fields = {**NetworkSpec.model_fields, **TrainingSettings.model_fields}
    options = {name: value for name, value in context.params.items() if name in fields}
    plan = mp.load_recipe(recipe).changed(**options | {"weights": _weights(weights), "n_validation": validation})
    dataset = dataset or plan.dataset
    (x, y), (x_test, y_test) = _data(dataset, test_dataset, folder, axes, plan.network)
    settings = plan.training
    n_batches, best = settings.batches(len(x)), 0.0
    with _bar() as bar:
        task = bar.add_task("training", total=settings.epochs * max(1, n_batches))

        def show(epoch: int, batches: int, loss: float, accuracy: float) -> None:
            text = f"epoch {epoch + 1}/{settings.epochs}, loss {loss:.3f}, accuracy {accuracy:.2%}"
            if best:
                text += f", validation {best:.2%}"
            bar.update(task, completed=epoch * n_batches + batches, description=text)

        def finished(epoch: int, accuracy: float) -> None:
            nonlocal best
            best = max(best, accuracy)  # stays 0 without a validation split

        net = mp.train(
            plan.network,
            x,
            y,
            settings,
            checkpoint=checkpoint,
            device=device,
            progress=show,
            finished=finished,
            axes=told(x),
        )
    accuracy = float((net.predict(x_test, axes=told(x_test)) == y_test).mean())
    judged = str(test_dataset or dataset)
    judged = judged if judged.lower() in NAMED and folder is None else str(Path(folder or judged).resolve())
    net.metadata |= {"dataset": judged, "test_accuracy": accuracy}
    mp.save_network(net, out)
    if json_file is not None:
        write_text(json_file, json.dumps({"spec": net.spec.model_dump(mode="json")} | net.metadata, indent=2))
    record = net.metadata
    chosen = record["validation_accuracy"]
    how = f"{chosen:.2%} of the validation images" if chosen is not None else "the last one, no validation images"
    console().print(
        f"{out}: {_judged(accuracy, len(x_test))} of {len(x_test)} test images, in brackets the "
        f"95% interval; epoch {record['best_epoch']} of "
        f"{record['trained_epochs']} ({how}), {record['seconds']} s",
        highlight=False,
    )


def search(
    storage: Annotated[Path, typer.Argument(help="SQLite file of the search; one found there is continued.")],
    recipe: RecipeOption = "mnist-bsnn",
    dataset: DatasetOption = None,
    test_dataset: TestOption = None,
    folder: FolderOption = None,
    axes: AxesOption = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials, pruned ones included.")] = 100,
    processes: Annotated[int, typer.Option(min=1, help="Trials at a time.")] = 1,
    epochs: Annotated[int, typer.Option(min=1, help="Most epochs of a trial.")] = 5,
    t_steps: Annotated[int | None, typer.Option(help="Time steps.", show_default="the recipe's")] = None,
    images: Annotated[int, typer.Option(min=2, help="Training images of a trial.")] = 6000,
    validation: Annotated[int, typer.Option(min=1, help="How many of them to validate on.")] = 1000,
    test_images: Annotated[int, typer.Option(min=1)] = 2000,
    conditions: Annotated[bool, typer.Option(help="Also switch clips of gradients, weights and membranes.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Also write the trials to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw contours of the test accuracy to this file.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the trials to this file.")] = None,
) -> None:
    """Search for hyper-parameters as in figure 4 of Eshraghian et al. 2022: beta, threshold, slope, and more."""
    from rich.table import Table

    import mapping as mp
    from mapping.inputs.arrays import told
    from mapping.training.search import Search, SearchSpace

    for file in (storage, csv, json_file):
        writable(file)
    picture(plot)
    base = mp.load_recipe(recipe).changed(epochs=epochs, t_steps=t_steps, n_validation=validation)
    base = base.replace(training=base.training.replace(t_steps_training=None))  # trials train as they are judged
    plan = Search(
        recipe=base, space=SearchSpace(conditions=conditions), images=images, test_images=test_images, seed=seed
    )
    data, test = _data(dataset or base.dataset, test_dataset, folder, axes, base.network)
    with _bar() as bar:
        task = bar.add_task("searching", total=trials)

        def show(done: int, best: float) -> None:
            bar.update(task, completed=done, description=f"searching, best validation {best:.2%}")

        found = mp.search(
            plan, data, test, storage, n_trials=trials, processes=processes, progress=show, axes=told(data[0])
        )
    sizes = {"validation": plan.recipe.training.n_validation, "test": min(plan.test_images, len(test[0]))}
    pruned = (found.state == "PRUNED").sum()
    table = Table(title=f"The best of {len(found)} trials, {pruned} of them pruned (95% intervals over images)")
    for heading in ("trial", "validation", "test", "beta", "threshold", "slope", "rate", "dropout", "clips"):
        table.add_column(heading, justify="right")
    for row in found.nlargest(5, "validation_accuracy").to_dict("records"):
        clips = [what for what in ("membranes", "weights", "gradients") if row.get(_SWITCHES[what])]
        table.add_row(
            str(row["number"]), *(_judged(row[f"{of}_accuracy"], n) for of, n in sizes.items()),
            f"{row['beta']:.3f}", f"{row['threshold']:.2f}", f"{row['slope']:.2f}", f"{row['learning_rate']:.1e}",
            f"{row['dropout']:.2f}", "\n".join(clips) if conditions else "recipe's",
        )  # fmt: skip
    console().print(table)
    if csv is not None:
        write_text(csv, found.to_csv(index=False).rstrip("\n"))
    if json_file is not None:
        write_text(json_file, found.to_json(orient="records", indent=2))
    if plot is not None:
        from mapping.figures.adc_figures import accuracy_contours

        write_picture(plot, accuracy_contours(found))


def _weights(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdecimal() else text


def _data(
    dataset: str, test_dataset: str | None, folder: Path | None, axes: str | None, spec: NetworkSpec
) -> tuple[Data, Data]:
    """Return the training and the test set if the network can take them; a folder may hold the training files only."""
    import mapping as mp
    from mapping.inputs.arrays import told
    from mapping.networks.encode import check_images, check_labels

    if dataset.endswith(".npz") and test_dataset is None:
        raise ParameterError(f"--dataset {dataset}: holds one set only; give the test images by --test-dataset")
    has_test = folder is not None and any(folder.glob("t10k-images-idx3-ubyte*"))
    test = mp.load_dataset(test_dataset or dataset, "test", folder=folder if has_test else None, axes=axes)
    training = mp.load_dataset(dataset, "train", folder=folder, axes=axes)
    for images, labels in (test, training):  # before hours of training
        check_labels(labels, len(check_images(images, spec, told(images))), spec.n_classes)
    return training, test


def _bar() -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console(stderr=True), transient=True)


def _judged(accuracy: float, n_images: int) -> str:
    return with_interval(accuracy, wilson(accuracy, n_images))
