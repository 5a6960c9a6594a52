;; Imports a function that the contract does not have.
(module
  (import "wasmhost_v1" "rows_drop" (func (param i32)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32) (i32.const 0)))
