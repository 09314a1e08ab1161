"""The pages that browsers show: their files, and who may load what."""

from .files import POLICY, PageFile, find_file, index_file

__all__ = ["POLICY", "PageFile", "find_file", "index_file"]
