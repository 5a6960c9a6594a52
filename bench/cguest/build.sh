#!/bin/sh
# Builds guest.c to guest.wasm beside it, which is committed, so that the
# benchmarks need no C compiler for Wasm; run this after a change of guest.c.
# Needs clang and lld with the target wasm32 (apt-get install clang-19 lld-19).
set -eu
cd "$(dirname "$0")"
"${CLANG:-clang-19}" --target=wasm32 -O2 -mbulk-memory -nostdlib -Wall -Wextra -Werror \
	-Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=16384 -o guest.wasm guest.c
