;; Wants the memory of somebody else.
(module
  (import "wasmhost_v1" "memory" (memory 1))
  (export "memory" (memory 0))
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32) (i32.const 0)))
