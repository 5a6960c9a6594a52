;; Logs for ever.
(module
  (import "wasmhost_v1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (loop $l (call $log (i32.const 1) (i32.const 0) (i32.const 10)) (br $l))
    (i32.const 0)))
