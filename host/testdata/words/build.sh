#!/bin/sh
# Builds words.rs to words.wasm beside it, which is committed, so that the tests
# need no compiler of Rust; run this after a change of words.rs.
# Needs Rust with the target (rustup target add wasm32-unknown-unknown).
set -eu
cd "$(dirname "$0")"
"${RUSTC:-rustc}" --edition 2021 --crate-type cdylib --target wasm32-unknown-unknown -D warnings \
	-C opt-level=3 -C lto=fat -C codegen-units=1 -C panic=abort -C strip=symbols \
	--remap-path-prefix "$PWD=." -o words.wasm words.rs
