;; Logs a line that is outside of its memory from the start function.
(module
  (import "wasmhost_v1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (i32.const 0))
  (func $start (call $log (i32.const 1) (i32.const 65530) (i32.const 100)))
  (start $start))
