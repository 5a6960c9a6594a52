;; Does not export wasmhost_input.
(module
  (memory (export "memory") 1)
  (func (export "wasmhost_work") (param i32) (result i32)
    (i32.const 0)))
