;; Has functions for places near 2^32 of its table.
(module
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (i32.const 0))
  (table 1 funcref)
  (func $f)
  (elem (i32.const -1) $f $f))
