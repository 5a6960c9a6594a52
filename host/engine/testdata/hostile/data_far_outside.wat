;; Has data whose place is near 2^32.
(module
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (i32.const 0))
  (data (i32.const -1) "xy"))
