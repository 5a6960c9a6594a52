;; Fails with a text that would take over the terminal it is shown on.
(module
  (import "wasmhost_v1" "task_return" (func $task_return (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (drop (call $task_return (i32.const 0) (i32.const 27)))
    (i32.const 18))
  (data (i32.const 0) "\81\a7message\b1\1b]0;owned\07\1b[2J\0a\c2\9b"))
