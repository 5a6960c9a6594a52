;; Asks for 64 MiB of random bytes, for ever.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (loop $l (drop (call $random_get (i32.const 0) (i32.const 67108864))) (br $l))
    (i32.const 0)))
