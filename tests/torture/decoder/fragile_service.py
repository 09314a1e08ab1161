"""The service, with decoding that does harm, in threads as in processes; stuck ones are given up soon."""

import sys

from app.main import app
from app.video.decoder import parent as decoder_process
from tests.torture.decoder import fragile_decoder

decoder_process.COMMAND = (sys.executable, "-m", fragile_decoder.__name__)
decoder_process.SILENCE = 15.0

__all__ = ["app"]
