"""Run in an environment of its own: a real Triton with one model, computed by ONNX Runtime.

Arguments: the ONNX file, the file that says what goes wrong, and the HTTP port.
"""

# mypy: ignore-errors

import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

model, fault, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@batch
def infer(images):
    """Compute pictures, or do what the fault says."""
    what = fault.read_text()
    if what == "error":
        raise RuntimeError("told so")
    if what == "slow":
        time.sleep(3)
    found = np.concatenate([session.run(None, {"images": picture[None]})[0] for picture in images])
    if what == "nan":
        found[:, 4] = np.nan
    if what == "wrong":
        found = found[:, :, ::2]
    return {"output0": np.ascontiguousarray(found)}


config = TritonConfig(http_port=port, grpc_port=port + 1, metrics_port=port + 2, http_address="127.0.0.1")
with Triton(config=config) as triton:
    triton.bind(
        model_name="yolo",
        infer_func=infer,
        inputs=[Tensor(name="images", dtype=np.float32, shape=(3, 160, 160))],
        outputs=[Tensor(name="output0", dtype=np.float32, shape=(6, -1))],
        config=ModelConfig(max_batch_size=4),
    )
    triton.serve()
