"""How operators of other domains, and composed ones of `ai.onnx`, are written in standard operators."""
