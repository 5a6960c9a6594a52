;; Wants the table of somebody else.
(module
  (import "wasmhost_v1" "table" (table 1 funcref))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32) (i32.const 0)))
