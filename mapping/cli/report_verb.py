"""The verb that runs a network on chips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mapping.cli import nir_options
from xbarsim.outputs import console, writable, write_text
from xbarsim.units import quantity

if TYPE_CHECKING:
    import numpy as np

    from mapping.chip.chip import Chip
    from mapping.cost.report import Report
    from mapping.networks.network import Network


def report(
    network: Annotated[
        str,
        typer.Argument(help="Name or .safetensors file of a trained network; or a .nir file, with dt, reset and fire."),
    ] = "mnist-bsnn",
    chip: Annotated[
        list[str] | None,
        typer.Option(help="Name or .toml file of a chip; repeat to compare.", show_default="paper-ann, paper-bsnn"),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Name, folder with IDX files, or .npz file.", show_default="what the network was trained for"
        ),
    ] = None,
    axes: Annotated[
        str | None, typer.Option(help="Order of the axes in an .npz file, from n, t, c, h, w: tnchw, ntchw, ...")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            help="How many test images, drawn with the seed, of each class as many; or 'first:N', or 'all'.",
            show_default="1000, or all if there are fewer",
        ),
    ] = None,
    dies: Annotated[int, typer.Option(min=1, help="How many dies to fabricate.")] = 1,
    reads: Annotated[float, typer.Option(min=0, help="Reads of every array before, as these images cause them.")] = 0,
    time: Annotated[str, typer.Option(help="Time since programming, for example '1 day'.")] = "0",
    temperature: Annotated[str, typer.Option(help="During that time and those reads, for example '85 C'.")] = "300 K",
    refresh: Annotated[
        float | None,
        typer.Option(
            min=0, help="Let reads age the arrays meanwhile; solve again beyond this change, in units of the LRS."
        ),
    ] = None,
    accounting: Annotated[
        str,
        typer.Option(
            help="How energy and operations are counted: full, core, one-operation, all-columns, arrays-on, used-cells."
        ),
    ] = "full",
    quantize: Annotated[
        str | None, typer.Option(help="Put real weights on levels first: binary, ternary or a number of bits.")
    ] = None,
    dt: Annotated[str | None, typer.Option(help="Of a .nir file: time of one step in s.")] = None,
    reset: nir_options.Reset | None = None,
    fire: nir_options.Fire | None = None,
    t_steps: Annotated[
        int | None, typer.Option(min=1, help="Of a .nir file: time steps of one inference.", show_default="25")
    ] = None,
    input_shape: nir_options.InputShape = None,
    reset_delay: nir_options.ResetDelay = None,
    seed: Annotated[int, typer.Option(min=0, help="Root seed of all that is drawn.")] = 0,
    explained: Annotated[
        bool, typer.Option("--explain", help="Also say how layers become arrays: what each step does, and why.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the reports to this file.")] = None,
) -> None:
    """Run a trained network on chips: accuracy, TOPS/W, energy, ADC power share."""
    import mapping as mp
    from mapping.cost.accounting import convention
    from mapping.cost.tables import render, with_interval
    from mapping.inputs.arrays import told
    from mapping.lower.plan import explain, lower, to_cells
    from mapping.mapped.dies import History
    from mapping.mapped.given import refuse_nir, trained_for
    from mapping.networks.encode import check_images, check_labels
    from xbarsim.intervals import accuracy_interval

    writable(json_file)
    chips = [mp.load_chip(name) for name in chip or ("paper-ann", "paper-bsnn")]
    if None in (dt, reset, fire):
        refuse_nir(network, "--dt, --reset and --fire")
    rules: dict[str, Any] = {"dt": dt, "reset_mechanism": reset, "fire": fire, "t_steps": t_steps}
    rules["input_shape"] = nir_options.shape_of(input_shape)
    rules |= {} if reset_delay is None else {"reset_delay": nir_options.delay_of(reset_delay)}
    real = mp.load_network(network, **rules)
    net = real if quantize is None else mp.load_network(network, quantize=quantize, **rules)
    dataset = dataset or trained_for(net, network, "--dataset")
    x, y = mp.load_dataset(dataset, axes=axes)
    sample = mp.Sample.of(y, images or min(1000, len(y)), seed=seed, dataset=dataset)
    x, y = x[sample.index], y[sample.index]
    x = check_images(x, net.spec, told(x))  # refuses images that do not fit before the arrays are solved,
    y = check_labels(y, len(x), net.spec.n_classes)  # labels of other classes,
    for one in chips:
        lower(net.graph(), to_cells(one.cell_levels))  # and weights that no cell holds
    convention(accounting)
    if explained:
        console().print(explain(net.graph(), {one.name: one for one in chips}), markup=False, soft_wrap=True)
    history = History(reads, quantity(time, "s", "--time"), quantity(temperature, "K", "--temperature"))
    for one in chips:
        history.check(one, refresh)
    options = {"n_dies": dies, "seed": seed, "history": history, "refresh": refresh, "accounting": accounting}
    reports = _with_progress(net, chips, x, y, sample=sample, **options)
    console().print(render(reports))
    before = {}
    if quantize is not None:
        right = real.predict(x, seed=seed) == y
        accuracy, interval = float(right.mean()), accuracy_interval(right[None])
        before = {"before_quantization": {"accuracy": accuracy, "accuracy_interval": interval}}
        told_before = with_interval(accuracy, interval)
        console().print(f"{net.name}: before they were put on levels, {told_before} in software", markup=False)
    if json_file is not None:
        values = before | {
            "network": network,
            "dataset": dataset,
            "reports": [r.to_dict() for r in reports],
            "differences": [r.difference(reports[0]).to_dict() for r in reports[1:]],
        }
        write_text(json_file, json.dumps(values, indent=2))


def _with_progress(net: Network, chips: list[Chip], x: np.ndarray, y: np.ndarray, **options: Any) -> list[Report]:
    """Run a network on chips, one after the other, and show how far that is."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from mapping.mapped.dies import evaluate_dies

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    dies, reports = options["n_dies"], []
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        for one in chips:
            task = bar.add_task(f"{one.name}: solving arrays (the first run also compiles)", total=dies * len(x))

            def show(die: int, done: int, name: str = one.name, task: TaskID = task) -> None:
                bar.update(task, description=f"{name}: images, die {die + 1} of {dies}", advance=done)

            reports.append(evaluate_dies(net, one, x, y, progress=show, **options))
    return reports
