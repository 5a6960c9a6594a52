#!/bin/sh
# Builds guest.wasm, which is committed, so that the tests need no compiler; run
# this after a change of guest.c. Needs clang and wasm-ld (apt-get install clang
# lld).
set -eu
cd "$(dirname "$0")"
clang --target=wasm32 -O2 -nostdlib -fno-builtin -Wl,--no-entry -Wl,--strip-all -o guest.wasm guest.c
