"""Models of the service's model folder."""

from pathlib import Path

import rich_click as click

from ..client import Client
from .completion import MODELS
from .connection import with_client
from .output import json_option, print_fields, print_json, print_table


@click.group("models")
def models() -> None:
    """List the models of the service, and try them.

    \b
    videoanalysis models ls
    videoanalysis models try cars.onnx street.jpg
    """


@models.command("ls")
@json_option
@with_client
def ls(client: Client, *, as_json: bool) -> None:
    """List the models, with how each is understood or why it is rejected."""
    found = client.models.list()
    if as_json:
        for each in found:
            print_json(each)
    else:
        rows = ((each.name, each.state, each.layout, each.error) for each in found)
        print_table(("NAME", "STATE", "LAYOUT", "WHY"), rows, droppable=("LAYOUT",))


@models.command("show")
@click.argument("name", shell_complete=MODELS)
@json_option
@with_client
def show(client: Client, name: str, *, as_json: bool) -> None:
    """Show how a model is understood, with its labels."""
    model = client.models.get(name)
    if as_json:
        print_json(model)
        return
    print_fields(
        [
            ("name", model.name),
            ("state", model.state),
            ("error", model.error),
            ("layout", model.layout),
            ("size", f"{model.size:,} bytes"),
            ("backend", model.backend),
            ("labels", ", ".join(model.labels.values()) or None),
        ]
    )


@models.command("try")
@click.argument("name", shell_complete=MODELS)
@click.argument("picture", type=click.Path())
@click.option(
    "--confidence", type=click.FloatRange(0, 1), help="Leave weaker detections out; 0.25 if left out."
)
@json_option
@with_client
def try_picture(client: Client, name: str, picture: str, *, confidence: float | None, as_json: bool) -> None:
    """Show what a model finds in a picture, a JPEG or PNG."""
    tried = client.models.try_picture(name, Path(picture), confidence=confidence)
    if as_json:
        print_json(tried)
        return
    rows = (
        (each.label, f"{each.confidence:.2f}", *(f"{edge:.0f}" for edge in each.box))
        for each in tried.detections
    )
    print_table(("LABEL", "CONFIDENCE", "LEFT", "TOP", "RIGHT", "BOTTOM"), rows, droppable=("CONFIDENCE",))
