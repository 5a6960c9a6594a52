;; Imports rows_open with a type that is not its own.
(module
  (import "wasmhost_v1" "rows_open" (func (param i64 i64) (result i64)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32) (i32.const 0)))
