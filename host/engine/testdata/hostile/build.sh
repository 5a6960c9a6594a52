#!/bin/sh
# Builds every .wat of this folder to a .wasm beside it. The binaries are
# committed, so that the tests need no tool; run this after a change of a .wat.
# Needs wat2wasm of wabt (apt-get install wabt).
#
# --no-check: some of these modules are meant to be invalid.
# shellcheck disable=SC2035
set -eu
cd "$(dirname "$0")"
for wat in *.wat; do
	wat2wasm --no-check --enable-threads -o "${wat%.wat}.wasm" "$wat"
done
