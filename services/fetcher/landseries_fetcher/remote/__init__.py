"""Windowed reading over the network: of a remote image only those bytes are fetched that a window needs.

A remote image becomes a sparse local file of the same length (`sparse`) in a content cache (`cache`), in which the
headers and the blocks of the windows are filled that were asked for (`jp2_index`, `cog_index`); then it is read like
any local file. Bytes come through a `RangeReader` (`reader`, `http_ranges`, `s3_ranges`) that outlasts faults
(`persistence`) and keeps to limits that hold over all replicas (`limits`).
"""
