"""Machine descriptions as data; `wsec.compiler.target` loads and lints them."""
