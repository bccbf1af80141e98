"""The verb of the ``xbarsim`` command that runs studies."""

from __future__ import annotations

import json
import warnings
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xbarsim.errors import InputWarning
from xbarsim.outputs import console, picture, writable, write_netcdf, write_picture, write_text

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

    from mapping.study.study_spec import Study


def study(
    source: Annotated[
        str | None, typer.Argument(help="Name or .toml file of a study; without one, all shipped ones are listed.")
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="How many test images, or 'first:N', or 'all', instead of the study's.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many dies at each point, instead.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Root seed, instead.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder that takes each result at once; run again with it to go on.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of this machine.", show_default="one for each core")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler instead, as tcp://host:8786.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed and damaged trials of the store again.")
    ] = False,
    check: Annotated[
        Path | None, typer.Option(help="Only say what is damaged in this store, without changing it.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every trial to this file.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="The same as a table.")] = None,
    netcdf_file: Annotated[
        Path | None, typer.Option("--netcdf", help="The same with dimensions, units and provenance, for xarray.")
    ] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Draw what the study shows; .png, .pdf, .svg.")
    ] = None,
) -> None:
    """Run a network on chips at every point of some axes, declared in a TOML file; resumed with --store."""
    from rich.text import Text

    from mapping.study.run import run_study
    from mapping.study.study_figures import study_figure
    from mapping.study.study_spec import load_study
    from mapping.study.table import points, rows, table
    from xbarsim.study.dataset import NOT_DONE
    from xbarsim.study.store import check as stored

    terminal = console()
    if check is not None:
        count, damaged = stored(check)
        text = Text("\n".join([f"{check}: {count} trials, {len(damaged)} damaged", *damaged]))
        terminal.print(text, soft_wrap=True)
        raise typer.Exit(1 if damaged else 0)
    if source is None:
        terminal.print(_list())
        return
    for path in (json_file, csv_file, netcdf_file):
        writable(path)
    picture(plot_file)
    declared = load_study(source)
    given = {"images": images, "trials": trials, "seed": seed}
    declared = declared.replace(**{name: value for name, value in given.items() if value is not None})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what they say stands below the table
        warnings.simplefilter("default", InputWarning)
        data = run_study(declared, store=store, workers=workers, cluster=cluster, retry_failed=retry_failed)
    terminal.print(table(data, declared.show))
    terminal.print(Text(_words(declared, data)))
    if json_file is not None:
        values = {"study": json.loads(declared.model_dump_json()), "attributes": data.attrs}
        values |= {"points": points(data), "trials": rows(data)}
        write_text(json_file, json.dumps(values, indent=2))
    if csv_file is not None:
        import pandas as pd

        write_text(csv_file, pd.DataFrame(rows(data)).to_csv(index=False).rstrip("\n"))
    if netcdf_file is not None:
        write_netcdf(netcdf_file, data)
    if plot_file is not None:
        write_picture(plot_file, study_figure(data, declared.show))
    left = int((data["error"] == NOT_DONE).sum())
    if left:
        go_on = "run the same command again to go on" if store else "with --store FOLDER, what is done would be kept"
        terminal.print(Text(f"{left} of {data['error'].size} trials are not done; {go_on}."))
        raise typer.Exit(130)


def _list() -> Table:
    from rich.table import Table

    from mapping.study.study_spec import list_studies, load_study

    table = Table(title="Studies: xbarsim study NAME")
    for heading in ("name", "what is varied", "points", "dies", "chip"):
        table.add_column(heading)
    for name in list_studies():
        study = load_study(name)
        axes = ", ".join(axis.title for axis in study.axes if axis.name != "chip")
        points = str(prod(len(axis.values) for axis in study.axes))
        table.add_row(name, axes, points, str(study.trials), " ".join(study.named("chip")))
    return table


def _words(study: Study, data: xr.Dataset) -> str:
    """Say what the numbers are."""
    from mapping.cost.tables import with_interval
    from mapping.study.results import warned
    from mapping.study.table import software_differs
    from xbarsim.study.dataset import NOT_DONE

    errors = data["error"].values.ravel()
    failed = errors[(errors != "") & (errors != NOT_DONE)]
    accounting = data.attrs["accounting"]
    parts = [
        " ".join(study.description.split()),
        f"Networks: {data.attrs['networks']}. Data: {data.attrs['images']}; seed {study.seed}, dies 0 to "
        f"{study.trials - 1}; xbarsim {data.attrs['version_xbarsim']}, {data.attrs['date']}. In brackets: 95 % "
        "intervals, by bootstrap of dies and images, or of one die Wilson's over images. Terms: xbarsim terms. "
        f"{accounting[0].upper()}{accounting[1:]}",
    ]
    if not software_differs(data) and data["ideal_accuracy"].notnull().any():
        low, high = (float(data[f"ideal_accuracy_{end}"].max()) for end in ("low", "high"))
        parts.insert(1, f"Accuracy in software: {with_interval(float(data['ideal_accuracy'].max()), (low, high))}.")
    parts += [f"Warning: {line}" for line in warned(data)]
    if len(failed):
        parts.append(f"{len(failed)} of {len(errors)} trials failed, the first: {failed[0]}")
    return "\n\n".join(part for part in parts if part)
