"""wsec: the open compiler for wafer-scale engines."""
