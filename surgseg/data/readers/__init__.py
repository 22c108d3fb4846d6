"""Readers of data sets, by the name that --format takes. To add one: a file in this folder, and its line here."""

from surgseg.data.readers import cholecseg8k

READERS = {"cholecseg8k": cholecseg8k.READER}
