"""Programs of kernels that take turns, and of the reshardings between them."""
