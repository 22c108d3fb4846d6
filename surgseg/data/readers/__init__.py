"""Readers of data sets by the name for --format. To add one, add a file to this folder and its line here."""

from surgseg.data.readers import cholecseg8k

READERS = {"cholecseg8k": cholecseg8k.READER}
