"""The verb of the ``xbarsim`` command that measures every row of the paper's table 1."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Annotated

import typer

from xbarsim.outputs import console, picture, writable, write_picture, write_text


def table1(
    quick: Annotated[
        bool, typer.Option("--quick", help="Two points of each axis, 60 images, one die: under two minutes.")
    ] = False,
    images: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="How many test images.", show_default="200; 60 if quick")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many dies at each point.", show_default="2; 1 if quick")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Root seed of all that is drawn.")] = 0,
    store: Annotated[
        Path | None, typer.Option(help="Folder that takes each result at once; run again with it to go on.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; one uses all cores for the arrays of a die.")] = 1,
    cluster: Annotated[str | None, typer.Option(help="Address of a Dask scheduler instead.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write all numbers to this file.")] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Draw everything on one page; .png, .pdf or .svg.")
    ] = None,
) -> None:
    """Measure table 1 of Eshraghian et al. 2022: ANN with 8-bit ADC and BSNN with 1-bit read-out, row by row."""
    from rich.progress import Progress

    from mapping.study.paper.measure import measure
    from mapping.study.paper.page import draw
    from mapping.study.paper.table_text import render

    writable(json_file)
    picture(plot_file)
    with Progress(console=console(stderr=True), transient=True) as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what they say stands below the table
        task = bar.add_task("checking", total=None)
        try:
            table = measure(
                images=images or (60 if quick else 200),
                trials=trials or (1 if quick else 2),
                seed=seed,
                quick=quick,
                store=store,
                workers=workers,
                cluster=cluster,
                progress=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
            )
        except KeyboardInterrupt:
            again = "run the same command again to go on" if store else "with --store FOLDER, it would be kept"
            bar.console.print(f"interrupted; {again}")
            raise typer.Exit(130) from None
    console().print(render(table))
    if json_file is not None:
        write_text(json_file, json.dumps(table.to_dict(), indent=2))
    if plot_file is not None:
        write_picture(plot_file, draw(table), dpi=110)
