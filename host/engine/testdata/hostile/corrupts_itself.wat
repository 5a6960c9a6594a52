;; Keeps the address of its input buffer in memory, as an allocator does, and then
;; overwrites all of its memory with 0xff.
(module
  (memory (export "memory") 1)
  (func (export "wasmhost_work") (param i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 0xff) (i32.const 65536))
    (i32.const 0))
  (data (i32.const 16) "\00\04\00\00")
  (func (export "wasmhost_input") (param i32) (result i32) (i32.load (i32.const 16))))
