;; Logs a hundred thousand lines that are each as long as its memory.
(module
  (import "wasmhost_v1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (local $i i32)
    (loop $l
      (call $log (local.get $i) (i32.const 0) (i32.const 65536))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 100000))))
    (i32.const 0)))
