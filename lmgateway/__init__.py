"""lmgateway: the one process in front of LM Studio."""

from importlib.metadata import version

__version__ = version("lmgateway")
