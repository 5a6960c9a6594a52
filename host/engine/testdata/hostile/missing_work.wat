;; Does not export wasmhost_work.
(module
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024)))
