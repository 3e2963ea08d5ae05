"""Model in, plan out: importer, kernels, sharding, cost, placement, routing, plan and plan checker."""
