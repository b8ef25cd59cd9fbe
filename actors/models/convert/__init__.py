"""From the files of a package to a folder that transformers or spaCy opens: one module a format.

Every converter is `convert(files, folder)`: `files` holds what was read out of the wheel, the
model is written into the empty `folder`. These modules import torch and onnx at their top, so
they are themselves imported only while a model is being prepared.
"""
