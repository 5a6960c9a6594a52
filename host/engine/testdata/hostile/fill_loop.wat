;; Each round fills 48 MiB in one instruction: the length must count, not the instruction.
(module
  (memory (export "memory") 768)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 50331648)) (br $l))
    (i32.const 0)))
