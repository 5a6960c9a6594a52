;; Calls a command for ever.
(module
  (import "wasmhost_v1" "command" (func $command (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (loop $l (drop (call $command (i32.const 0) (i32.const 18) (i32.const 512) (i32.const 64))) (br $l))
    (i32.const 0))
  (data (i32.const 0) "\81\a4name\abevents/emit"))
