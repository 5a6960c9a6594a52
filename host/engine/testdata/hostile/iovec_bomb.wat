;; One fd_write of 32 TiB: half a million vectors, each of them all of the memory.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (local $p i32)
    (loop $l ;; vector: from 0, where the task may stand, 2^26 bytes
      (i32.store (local.get $p) (i32.const 0))
      (i32.store offset=4 (local.get $p) (i32.const 67108864))
      (local.set $p (i32.add (local.get $p) (i32.const 8)))
      (br_if $l (i32.lt_u (local.get $p) (i32.const 4194304))))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 524288) (i32.const 4194304)))
    (i32.const 0)))
