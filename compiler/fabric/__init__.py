"""What routers hold and who sends what when, docs/fabric.md: circuits of links and of kernels, and where words land."""
