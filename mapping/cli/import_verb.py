"""The verb of the ``xbarsim`` command that takes networks over from NIR files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mapping.cli import nir_options
from xbarsim.errors import FileError, ParameterError
from xbarsim.outputs import console, writable


def import_network(
    source: Annotated[Path, typer.Argument(help="The .nir file.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    dt: Annotated[
        str, typer.Option(help="Time of one step in s: 1e-4 for exports of snnTorch, 1 for those of Sinabs; r dt is 1.")
    ],
    reset: nir_options.Reset,
    fire: nir_options.Fire,
    t_steps: Annotated[int, typer.Option(min=1, help="Time steps of one inference.")] = 25,
    input_shape: nir_options.InputShape = None,
    reset_delay: nir_options.ResetDelay = None,
    dataset: Annotated[
        str | None, typer.Option(help="What the network was trained for, noted in the file: name, folder or file.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the specification to this file.")] = None,
) -> None:
    """Take over a network from a NIR file, which stores neither time step, reset nor comparison."""
    import json

    from rich.text import Text

    import mapping as mp
    from xbarsim.outputs import write_text

    if source.suffix != ".nir":
        raise ParameterError(f"{source}: give a .nir file; other modules are taken over by mapping.load_network")
    if not source.is_file():
        raise FileError(f"{source}: no such file")
    if out.suffix != ".safetensors":
        raise ParameterError(f"{out}: the file to write must end in .safetensors")
    writable(out)
    writable(json_file)
    how: dict[str, Any] = {"dt": dt, "reset_mechanism": reset, "fire": fire, "t_steps": t_steps}
    if reset_delay is not None:
        how["reset_delay"] = nir_options.delay_of(reset_delay)
    network = mp.load_network(source, input_shape=nir_options.shape_of(input_shape), **how)
    network.metadata |= {"imported_from": source.name} | how
    if dataset is not None:
        network.metadata["dataset"] = dataset
    mp.save_network(network, out)
    spec = network.spec
    if json_file is not None:
        write_text(json_file, json.dumps({"spec": spec.model_dump(mode="json")} | network.metadata, indent=2))
    layers = ", ".join(f"{layer.kind} {shape[0]}-{layer.out}" for layer, (shape, _) in zip(spec.layers, spec.shapes()))
    channels, height, width = spec.input_shape
    when = f"a membrane loses {reset!r} at a spike, --reset-delay {str(how.get('reset_delay', True)).lower()}"
    console().print(
        Text(f"{out}: {layers}; inputs {channels} x {height} x {width}, {t_steps} time steps of dt = {dt}; {when}")
    )
