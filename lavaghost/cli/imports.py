"""The command `import`: a network of another tool, or a saved one, as a saved network."""

from pathlib import Path

import click

from lavaghost.cli.commands import PATH, SOURCES, force_option, json_option
from lavaghost.cli.console import emit, output_folder


@click.command("import")
@click.argument("source", type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder for the saved network.")
@click.option("--dataset", help=f"Fold the scale of this data set in: {SOURCES}.")
@click.option(
    "--scaled", is_flag=True, help="SOURCE takes the samples of --dataset scaled (0 to 1), not raw ones."
)
@force_option
@json_option
def import_command(
    source: Path, out: Path, dataset: str | None, scaled: bool, force: bool, as_json: bool
) -> None:
    """Make a saved network of SOURCE, an .onnx file or a saved network (model.yaml).

    An ONNX file may hold what scikit-learn, PyTorch and others make of layered, rectified classifiers; every node
    that cannot be imported is named.
    """
    from lavaghost.run.describe import described, import_network

    trained = import_network(source, dataset, scaled)
    with output_folder(out, force=force):
        path = trained.save(out)
    values = {"model": str(path), **described(trained), **trained.record.get("imported", {})}
    emit(values, as_json, f"{source.name}, {trained.network.layers}")


COMMANDS = (import_command,)
"""What the command line registers."""
