;; wasmhost_work is a global.
(module
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (global (export "wasmhost_work") i32 (i32.const 0)))
