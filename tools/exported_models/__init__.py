"""Make the tiny models below tests/detectors/layouts/exported, with the boxes that their exporters find.

Each script runs in an environment of its own, because none of these packages is needed here:

    python -m venv somewhere && somewhere/bin/pip install torch transformers onnxscript timm
    somewhere/bin/python -m tools.exported_models.transformers_models

The weights are random: what is compared is how pictures become input, and outputs become boxes.
"""
