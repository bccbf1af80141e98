"""The verb of the ``xbarsim`` command that sets the paper's figures beside ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mapping.cost.tables import with_interval
from xbarsim.intervals import wilson
from xbarsim.outputs import console, writable, write_text
from xbarsim.units import percent, significant

if TYPE_CHECKING:
    from rich.table import Table

    from mapping.study.paper.headline import Headline


def paper(
    images: Annotated[
        str,
        typer.Option(help="How many test images, drawn with the seed, of each class as many; or 'first:N', or 'all'."),
    ] = "500",
    seed: Annotated[int, typer.Option(min=0, help="Root seed of all that is drawn.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
) -> None:
    """Set headline and table 3 of Eshraghian et al. 2022 beside ours, every figure of ours computed now."""
    from rich.progress import Progress

    import mapping as mp
    from mapping.mapped.mapped_network import map_ann
    from mapping.study.paper import headline as published

    writable(json_file)
    x, y = mp.load_dataset("mnist")
    sample = mp.Sample.of(y, images, seed=seed, dataset="mnist")
    x, y = x[sample.index], y[sample.index]
    chips = {"ann": mp.load_chip("paper-ann"), "bsnn": mp.load_chip("paper-bsnn")}
    ann, adc = mp.load_ann("mnist-ann"), mp.SarAdc(**chips["ann"].readout.model_dump(exclude_unset=True))
    with Progress(console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("ANN on paper-ann", total=2 * len(x) + len(published.TABLE_3))

        def show(done: int) -> None:
            bar.advance(task, done)

        mapped = map_ann(ann, chips["ann"], seed=seed)
        reports = {"ann": mapped.evaluate(x, y, sample=sample, progress=show)}
        bar.update(task, description="BSNN on paper-bsnn")
        bsnn = mp.map_network(mp.load_network("mnist-bsnn"), chips["bsnn"], seed=seed)
        reports["bsnn"] = bsnn.evaluate(x, y, sample=sample, progress=show)
        headline = [published.full(name, report) for name, report in reports.items()]
        for name, one in (("ann", adc), ("bsnn", adc.replace(n_bits=1))):
            headline.append(published.compatibility(name, chips[name], one))
        table = []
        for (network, dataset), (name, accuracy) in published.TABLE_3.items():
            bar.update(task, description=f"{network} on {dataset}", advance=1)
            table.append(_row(network, dataset, name, accuracy, images, seed))
    baseline = {
        "network": "ANN",
        "layout": reports["ann"].first_layer,
        "accuracy": reports["ann"].ideal_accuracy,
        "accuracy_interval": reports["ann"].ideal_accuracy_interval,
        "accuracy_on_chip": reports["ann"].accuracy,
        "recorded_accuracy": ann.metadata["test_accuracy"],
        "n_images": len(x),
    }
    terminal = console()
    terminal.print(_headline(headline))
    terminal.print(
        f"full: the whole network on {sample}. {reports['ann'].accounting} Most dense operations of "
        "a BSNN never happen: counting only those that a spike or a non-zero input causes, it has "
        f"{significant(reports['bsnn'].synaptic_tops_per_watt)} TOPS/W, the ANN "
        f"{significant(reports['ann'].synaptic_tops_per_watt)}.\n\n"
        f"{published.COMPATIBILITY}. No accounting that we tried meets all four published figures within rounding; "
        f"leaving the ADCs out of the paper's ANN alone gives {published.without_adc():.1f} TOPS/W.\n"
    )
    terminal.print(_table_3(table, baseline))
    terminal.print(
        f"ANN: the same topology with ReLU and 8-bit activations, trained here; {reports['ann'].first_layer}. On "
        f"paper-ann {with_interval(reports['ann'].accuracy, reports['ann'].accuracy_interval)}, the BSNN on paper-bsnn "
        f"{with_interval(reports['bsnn'].accuracy, reports['bsnn'].accuracy_interval)}. In brackets: 95% intervals, "
        "Wilson's over images.\n\n"
        f"Published figures: {published.SOURCE}\n\n"
        + "\n\n".join(f"Run: {report.run}." for report in reports.values())
        + "".join(f"\n\nWarning, {report.chip}: {line}" for report in reports.values() for line in report.warnings)
    )
    if json_file is not None:
        runs = [report.run.to_dict() for report in reports.values()]
        values = {"headline": [line.to_dict() for line in headline], "table3": table, "ann": baseline, "runs": runs}
        write_text(json_file, json.dumps(values, indent=2))


def _row(network: str, dataset: str, name: str, accuracy: float, images: str, seed: int) -> dict[str, Any]:
    """Return a line of table 3, our accuracy measured on some test images."""
    import mapping as mp

    net = mp.load_network(name)
    x, y = mp.load_dataset(dataset)
    index = mp.Sample.of(y, images, seed=seed).index
    ours = float((net.predict(x[index]) == y[index]).mean())
    return {
        "network": network,
        "dataset": dataset,
        "paper_accuracy": accuracy,
        "accuracy": ours,
        "accuracy_interval": wilson(ours, len(index)),
        "n_images": len(index),
        "recorded_accuracy": net.metadata["test_accuracy"],
        "t_steps": net.t_steps,
    }


def _headline(lines: list[Headline]) -> Table:
    from rich.table import Table

    table = Table(title="Headline")
    for heading in ("network", "accounting"):
        table.add_column(heading)
    for heading in ("TOPS/W", "paper", "ADC power share", "paper"):
        table.add_column(heading, justify="right")
    for line in lines:
        table.add_row(
            line.network.upper(),
            line.accounting,
            significant(line.tops_per_watt),
            f"~{line.paper_tops_per_watt:.0f}",
            percent(line.adc_power_share),
            f"{line.paper_adc_power_share:.2%}",
        )
    return table


def _ours(row: dict[str, Any]) -> str:
    return with_interval(row["accuracy"], row["accuracy_interval"])


def _table_3(rows: list[dict[str, Any]], baseline: dict[str, Any]) -> Table:
    from rich.table import Table

    n_images = baseline["n_images"]
    table = Table(title="Table 3, accuracy in software")
    for heading in ("data set", "network"):
        table.add_column(heading, no_wrap=True)
    for heading in ("paper", f"ours, {n_images} images", "ours, all, as recorded", "time steps"):
        table.add_column(heading, justify="right")
    for row in rows:
        published, ours, recorded = f"{row['paper_accuracy']:.2%}", _ours(row), f"{row['recorded_accuracy']:.2%}"
        table.add_row(row["dataset"], row["network"], published, ours, recorded, str(row["t_steps"]))
    table.add_row("mnist", "ANN, 8 bit", "-", _ours(baseline), f"{baseline['recorded_accuracy']:.2%}", "-")
    return table
