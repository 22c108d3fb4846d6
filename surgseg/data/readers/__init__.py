"""Readers of data sets by name. To add one, add a file to this folder and its line here."""

from surgseg.data.readers import (
    autolaparo,
    cholecinstanceseg,
    cholecseg8k,
    endoscapes,
    endovis2015,
    endovis2017,
    endovis2018,
    heisurf,
    m2caiseg,
    robust_mis,
    sar_rarp50,
    sisvse,
)

READERS = {
    "cholecseg8k": cholecseg8k.READER,
    "cholecinstanceseg": cholecinstanceseg.READER,
    "endoscapes": endoscapes.READER,
    "heisurf": heisurf.READER,
    "endovis2015": endovis2015.READER,
    "endovis2017": endovis2017.READER,
    "endovis2018": endovis2018.READER,
    "robust-mis": robust_mis.READER,
    "sar-rarp50": sar_rarp50.READER,
    "sisvse": sisvse.READER,
    "autolaparo": autolaparo.READER,
    "m2caiseg": m2caiseg.READER,
}
