"""`videoanalysis run`: the service."""

import os
import sys
from pathlib import Path

import rich_click as click
import uvicorn

from ..service import create
from .checking.listening import find_listen_fault
from .environment import env_file_option, read_settings
from .output import CommandError


@click.command()
@click.option("--host", help="The address to listen on, instead of VA_HOST. [default: 127.0.0.1]")
@click.option("--port", type=int, help="The port to listen on, instead of VA_PORT. [default: 8000]")
@env_file_option
def run(host: str | None, port: int | None, env_file: Path) -> None:
    """Start the service, with its pages, and run it until Ctrl-C.

    Settings are environment variables (VA_...) or lines of .env. Recordings are looked for in the folder
    media, and what is found is stored in the folder data, unless settings say otherwise.

    \b
    videoanalysis run
    videoanalysis run --host 0.0.0.0 --port 8080 --env-file /etc/videoanalysis.env
    """
    # In the environment, so that they win over the file, and are checked and told of as settings.
    os.environ |= {
        name: str(value) for name, value in (("VA_HOST", host), ("VA_PORT", port)) if value is not None
    }
    settings = read_settings(env_file)
    fault = find_listen_fault(settings)
    if fault is not None:  # uvicorn would tell only when all else runs
        raise CommandError(f"{fault.text} {fault.advice}")
    server = uvicorn.Server(
        uvicorn.Config(
            create(dotenv=env_file),
            host=settings.host,
            port=settings.port,
            lifespan="on",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )
    )
    try:
        server.run()
    except KeyboardInterrupt:  # uvicorn repeats the signal when it has stopped
        return
    if not server.started:
        sys.exit(1)  # uvicorn has said why
