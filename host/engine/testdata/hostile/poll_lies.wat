;; A poll of so many events that their size in 32 bits is small.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (drop (call $poll_oneoff (i32.const 0) (i32.const 4096) (i32.const 0x10000001) (i32.const 8192)))
    (i32.const 0)))
