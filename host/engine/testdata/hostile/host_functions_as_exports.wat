;; Its wasmhost_input and wasmhost_work are functions of the host that happen to have
;; the right type.
(module
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_sync" (func $fd_sync (param i32) (result i32)))
  (memory (export "memory") 1)
  (export "wasmhost_input" (func $fd_close))
  (export "wasmhost_work" (func $fd_sync)))
