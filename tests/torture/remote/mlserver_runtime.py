"""Run in an environment of its own: the runtime of a real MLServer, computed by ONNX Runtime.

The environment names the ONNX file and the file that says what goes wrong.
"""

# mypy: ignore-errors

import asyncio
import os
from pathlib import Path

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class YoloRuntime(MLModel):
    """Computes one picture, or does what the fault says."""

    async def load(self):
        """Open the model."""
        self._fault = Path(os.environ["FAULT"])
        self._session = onnxruntime.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload):
        """Compute one picture."""
        what = self._fault.read_text()
        if what == "error":
            raise RuntimeError("told so")
        if what == "slow":
            await asyncio.sleep(3)
        picture = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        (found,) = self._session.run(None, {"images": picture})
        if what == "nan":
            found[:, 4] = np.nan
        if what == "wrong":
            found = np.ascontiguousarray(found[:, :, ::2])
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[NumpyCodec.encode_output("output0", found)],
        )
