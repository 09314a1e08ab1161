"""`make kafka`: run a broker in the foreground, until Ctrl-C or SIGTERM.

With `--download` it only gets the program files of the broker, which takes minutes the first time, and
archives the classes that it loads.
"""

import os
import sys
from pathlib import Path

from app.settings import SettingsError, load
from tools.kafka import KafkaToolError
from tools.kafka.broker import HOST, make_class_archive, prepare


def main() -> None:
    try:
        if sys.argv[1:] == ["--download"]:
            make_class_archive()
            return
        settings = load(os.environ, Path(".env"))
        folder = settings.data_dir / "kafka"
        make_class_archive()
        command = prepare(folder, settings.kafka_port, settings.kafka_port + 1)
        sys.stdout.write(f"Kafka on {HOST}:{settings.kafka_port}, data in {folder}; Ctrl-C stops it\n")
        sys.stdout.flush()
    except (SettingsError, KafkaToolError, OSError) as error:
        sys.exit(f"make kafka: {error}")
    # This process becomes the broker, so that signals reach it and no child process can outlive it.
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
