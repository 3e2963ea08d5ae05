"""The lowering passes, the contract a pass fulfils, and the manager that runs a pipeline of them."""
