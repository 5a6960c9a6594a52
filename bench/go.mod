module github.com/wasmhost/wasmhost/bench

go 1.26.0

require github.com/wasmhost/wasmhost v0.0.0

replace github.com/wasmhost/wasmhost => ../
