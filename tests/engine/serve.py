"""Runs llama.cpp's own HTTP server, as the package `xllamacpp` has it, until standard input ends.

The first argument is the model's file, the second one a JSON object of llama.cpp's parameters. Prints the
address once the model is loaded.
"""

from __future__ import annotations

import json
import sys

import xllamacpp


def main(model: str, parameters: dict[str, object]) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.port = 0
    # Threads wait for each other in a loop, which on a busy machine takes more time than it saves.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    for name, value in parameters.items():
        setattr(params, name, value)
    if params.embedding:
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
