"""The public interface for passes, kernels and targets of your own.

* `wsec.api.passes`: what a pass is made of.
* `wsec.api.loop_nests`, `wsec.api.block_programs`, `wsec.api.expectations`: the three parts of a kernel, for the compiler,
  the runtime and the plan checker.
* `wsec.api.targets`: descriptions of machines.

What these modules export stays as it is within a minor version; everything else in wsec may change. docs/writing-passes.md
and docs/writing-kernels.md show whole examples, and examples/wsec_example is a package with all of it.
"""
