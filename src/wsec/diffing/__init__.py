"""`wsec diff`: what is different between two plans, as records, for the terminal, as JSON and as a page (docs/diff.md)."""
