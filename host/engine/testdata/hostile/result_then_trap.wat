;; Hands back a result and traps: the result does not count.
(module
  (import "wasmhost_v1" "task_return" (func $task_return (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "wasmhost_input") (param i32) (result i32) (i32.const 1024))
  (func (export "wasmhost_work") (param i32) (result i32)
    (drop (call $task_return (i32.const 0) (i32.const 6)))
    (unreachable))
  (data (i32.const 0) "result"))
