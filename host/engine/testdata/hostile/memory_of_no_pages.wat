;; Has a memory without a single byte.
(module
  (memory (export "memory") 0)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (i32.const 0)))
